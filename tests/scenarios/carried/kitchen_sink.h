#pragma once

#include <string>

namespace pgrecast::test {

// The roles of a kitchen sink, each quoted. The owner owns the table and most
// of what hangs off it; `keeper` owns some views; the readers were granted
// something.
struct SinkRoles {
  std::string owner;
  std::string keeper;
  std::string reader;
  std::string second;
  std::string analyst;  // owns materialized views
  std::string tablespace;
};

// Statements that make table public."the Sink" with at least one of everything
// that docs/reference/carried.md calls carried, as a server of that version
// knows it; and public.twin, which has the same columns and nothing else. To be
// run as a superuser whose role is the owner.
std::string kitchen_sink(int version, const SinkRoles& roles);

}  // namespace pgrecast::test
