# Warnings, sanitizers and test hooks: one interface target that every target
# of this project links.
add_library(pgrecast_options INTERFACE)
target_compile_options(
  pgrecast_options
  INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
            -Wold-style-cast -Wnon-virtual-dtor -Woverloaded-virtual -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(pgrecast_options INTERFACE -Wduplicated-cond
                                                    -Wlogical-op)
  if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # At -O3 g++ 12 warns about "literal" + std::string, wrongly (GCC bug
    # 105651). The builds at -O1 keep the warning.
    target_compile_options(pgrecast_options
                           INTERFACE $<$<CONFIG:Release>:-Wno-restrict>)
  endif()
else()
  target_compile_options(pgrecast_options INTERFACE -Wthread-safety)
endif()
target_compile_definitions(pgrecast_options INTERFACE _GLIBCXX_ASSERTIONS)
if(PGRECAST_TEST_HOOKS)
  target_compile_definitions(pgrecast_options INTERFACE PGRECAST_TEST_HOOKS)
endif()
if(PGRECAST_SANITIZE)
  target_compile_options(
    pgrecast_options INTERFACE -fsanitize=${PGRECAST_SANITIZE}
                               -fno-omit-frame-pointer
                               -fno-sanitize-recover=all)
  target_link_options(pgrecast_options INTERFACE
                      -fsanitize=${PGRECAST_SANITIZE})
  # With sanitizers g++ 12 takes its own std::regex for uninitialised. The build
  # without them keeps the warning.
  target_compile_options(
    pgrecast_options
    INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
