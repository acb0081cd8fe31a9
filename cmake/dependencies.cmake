# What is linked, each a Debian 12 package (tools/install-dependencies).
find_package(Threads REQUIRED)
find_package(PostgreSQL REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Boost 1.74 REQUIRED)

find_library(ROCKSDB_LIBRARY rocksdb REQUIRED)
find_path(ROCKSDB_INCLUDE rocksdb/db.h REQUIRED)
add_library(rocksdb_dep INTERFACE)
target_link_libraries(rocksdb_dep INTERFACE ${ROCKSDB_LIBRARY})

find_library(PG_QUERY_LIBRARY pg_query REQUIRED)
find_path(PG_QUERY_INCLUDE pg_query.h REQUIRED)
add_library(pg_query_dep INTERFACE)
target_link_libraries(pg_query_dep INTERFACE ${PG_QUERY_LIBRARY})

if(PGRECAST_TESTS)
  find_package(GTest REQUIRED)
  find_package(rapidcheck REQUIRED)
endif()
