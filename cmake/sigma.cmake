# Flags every target of the project shares, and the one function that declares a layer.

add_library(sigma_flags INTERFACE)
target_compile_options(sigma_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
                                             -Wno-missing-field-initializers -Werror=return-type -fno-math-errno
                                             -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(sigma_flags INTERFACE -Wno-restrict)  # false alarms about std::string's + (GCC bug 105651)
endif()
if(SIGMA_SANITIZE)
  target_compile_options(sigma_flags INTERFACE -fsanitize=${SIGMA_SANITIZE} -fno-omit-frame-pointer
                                               -fno-sanitize-recover=all)
  target_link_options(sigma_flags INTERFACE -fsanitize=${SIGMA_SANITIZE})
endif()
if(SIGMA_FUZZ)
  target_compile_options(sigma_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# sigma_layer(NAME [LINK ...] [SYSTEM ...]): the static library of src/NAME, part of the installable one. LINK: the
# layers below it (checked by tests/layering_test); SYSTEM: third-party libraries.
function(sigma_layer name)
  cmake_parse_arguments(LAYER "" "" "LINK;SYSTEM" ${ARGN})
  set(target sigma_${name})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc)
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(${target} PRIVATE sigma_flags)
  foreach(below ${LAYER_LINK})
    target_link_libraries(${target} PUBLIC sigma_${below})
  endforeach()
  target_link_libraries(${target} PUBLIC ${LAYER_SYSTEM})
  set_property(GLOBAL APPEND PROPERTY SIGMA_OBJECTS $<TARGET_OBJECTS:${target}>)
  set_property(GLOBAL APPEND PROPERTY SIGMA_SYSTEM ${LAYER_SYSTEM})
endfunction()
