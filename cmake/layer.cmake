# pgrecast_layer(NAME DEPENDS layer... LIBRARIES library... SOURCES file...)
#
# One static library a layer, pgrecast_NAME. DEPENDS are the layers below that
# it may include (tests/layers_test checks the includes against this list).
function(pgrecast_layer NAME)
  cmake_parse_arguments(LAYER "" "" "DEPENDS;LIBRARIES;SOURCES" ${ARGN})
  add_library(pgrecast_${NAME} STATIC ${LAYER_SOURCES})
  target_include_directories(
    pgrecast_${NAME}
    PUBLIC ${PROJECT_SOURCE_DIR}/include
    PRIVATE ${PROJECT_SOURCE_DIR}/src/${NAME})
  list(TRANSFORM LAYER_DEPENDS PREPEND pgrecast_)
  target_link_libraries(
    pgrecast_${NAME} PUBLIC pgrecast_options ${LAYER_DEPENDS}
                            ${LAYER_LIBRARIES})
endfunction()
