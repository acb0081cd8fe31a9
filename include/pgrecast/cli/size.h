#pragma once

#include <cstdint>
#include <string>

namespace pgrecast::cli {

// A size as PostgreSQL writes it: 1500kB, 500MB, 10GB, 1.5TB; a number alone
// counts bytes. Throws UsageError.
std::int64_t bytes_of(const std::string& size);

}  // namespace pgrecast::cli
