# The installed package: libsigma (the objects of every layer in one static library), its headers under include/sigma,
# find_package(sigma), and the command.
include(CMakePackageConfigHelpers)

get_property(objects GLOBAL PROPERTY SIGMA_OBJECTS)
get_property(system GLOBAL PROPERTY SIGMA_SYSTEM)
list(REMOVE_DUPLICATES system)
add_library(sigma STATIC ${objects})
set_target_properties(sigma PROPERTIES LINKER_LANGUAGE CXX)
target_link_libraries(sigma PUBLIC ${system})
target_compile_features(sigma INTERFACE cxx_std_20)
# <sigma/engine/engine.h> for users, "base/error.h" for the headers among themselves.
target_include_directories(sigma INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
                                           $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/sigma>)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/sigma)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/sigma-config.cmake.in ${PROJECT_BINARY_DIR}/sigma-config.cmake
                              INSTALL_DESTINATION ${package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/sigma-config-version.cmake COMPATIBILITY SameMinorVersion)
install(TARGETS sigma EXPORT sigma-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT sigma-targets NAMESPACE sigma:: DESTINATION ${package})
install(FILES ${PROJECT_BINARY_DIR}/sigma-config.cmake ${PROJECT_BINARY_DIR}/sigma-config-version.cmake
        DESTINATION ${package})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/src/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sigma FILES_MATCHING PATTERN "*.h")
install(TARGETS sigma_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
