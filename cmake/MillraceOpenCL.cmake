# millrace_embed_opencl(TARGET FILE.cl): makes the kernel source a string literal in the generated
# header FILE.cl.inc, so that no program looks for a file when it runs.
function(millrace_embed_opencl target file)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  file(READ ${file} source)
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${file}.inc CONTENT "R\"cl(@source@)cl\"\n" @ONLY)
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
endfunction()
