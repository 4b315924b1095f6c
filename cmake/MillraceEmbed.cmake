# millrace_embed(TARGET FILE): makes a text (a kernel's source, a page) a string literal in the generated
# header FILE.inc, so that no program looks for a file when it runs.
function(millrace_embed target file)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  file(READ ${file} source)
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${file}.inc CONTENT "R\"text(@source@)text\"\n" @ONLY)
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
endfunction()
