#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgrecast {

// A position in the WAL, as PostgreSQL's pg_lsn: the byte offset from the
// beginning of the log. Positions of two timelines or servers do not compare.
struct Lsn {
  std::uint64_t value = 0;

  // "16/B374D848", as the server prints it; nullopt for anything else.
  static std::optional<Lsn> parse(std::string_view text);

  std::string to_string() const;

  // NOLINTNEXTLINE(modernize-use-nullptr): version 14 takes <=> 0 for one.
  auto operator<=>(const Lsn&) const = default;
};

}  // namespace pgrecast
