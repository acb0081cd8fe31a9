#pragma once

#include <compare>
#include <cstdint>

namespace pgrecast {

// A top-level transaction id with its epoch, as PostgreSQL's xid8: it never
// wraps around, so two of them of one server always compare.
struct Xid64 {
  std::uint64_t value = 0;

  // NOLINTNEXTLINE(modernize-use-nullptr): version 14 takes <=> 0 for one.
  auto operator<=>(const Xid64&) const = default;
};

// The 64-bit id of `wire`, the 32-bit xid that pgoutput sends: the one that is
// nearest to `reference`, a 64-bit xid that the server handed out or was about
// to hand out recently.
//
// Throws ProtocolError where it would be 2^30 or more away from the reference:
// there the answer may be of the wrong epoch, and a wrong epoch would forget a
// change that no snapshot has seen.
Xid64 widen_xid(std::uint32_t wire, Xid64 reference);

}  // namespace pgrecast
