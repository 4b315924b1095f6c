# Installs the program, the libraries, the public headers and the package configuration.
include(CMakePackageConfigHelpers)

install(DIRECTORY framework/include/millrace controller/include/millrace
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY boards/ DESTINATION ${CMAKE_INSTALL_DATADIR}/millrace/boards)
configure_file(packaging/systemd/millrace@.service.in ${CMAKE_BINARY_DIR}/millrace@.service @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/millrace@.service DESTINATION lib/systemd/system)
install(EXPORT MillraceTargets NAMESPACE Millrace:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Millrace)
configure_package_config_file(cmake/MillraceConfig.cmake.in ${CMAKE_BINARY_DIR}/MillraceConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Millrace)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/MillraceConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/MillraceConfig.cmake ${CMAKE_BINARY_DIR}/MillraceConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Millrace)
