#pragma once

#include <string>
#include <vector>

namespace pgrecast::test {

// What pg_dump --schema-only prints, a line each, without comments and empty
// lines: independent of every query of ours. Empty where there is no pg_dump
// that can read this server. `what`: pg_dump's options that choose.
std::vector<std::string> schema_dump(
    const std::string& dsn, const std::string& what = "--schema=public");

// "- line" for each that is in `before` more often, "+ line" for each that is
// in `after` more often; sorted, commas at the end and spaces in front left
// out.
std::vector<std::string> dump_difference(const std::vector<std::string>& before,
                                         const std::vector<std::string>& after);

}  // namespace pgrecast::test
