# Writes OUTPUT, a source with build_identity(): a hash of the files listed in LIST and of FLAGS.
file(STRINGS "${LIST}" files)
set(hashes "${FLAGS}")
foreach(file ${files})
  file(SHA256 "${file}" hash)
  string(APPEND hashes "${hash}")
endforeach()
string(SHA256 identity "${hashes}")
string(SUBSTRING "${identity}" 0 16 identity)
file(WRITE "${OUTPUT}" "#include \"framework/profile/identity.hpp\"

namespace millrace {
const char* build_identity() { return \"${identity}\"; }
}  // namespace millrace
")
