#pragma once

#include <string>
#include <vector>

namespace pgrecast::test {

// What pg_dump --schema-only prints of schema public, a line each, without
// comments and empty lines: independent of every query of ours. Empty where
// there is no pg_dump that can read this server.
std::vector<std::string> schema_dump(const std::string& dsn);

// "- line" for each that is in `before` more often, "+ line" for each that is
// in `after` more often; sorted, commas at the end and spaces in front left
// out.
std::vector<std::string> dump_difference(const std::vector<std::string>& before,
                                         const std::vector<std::string>& after);

}  // namespace pgrecast::test
