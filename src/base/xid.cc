#include "pgrecast/base/xid.h"

#include "pgrecast/base/error.h"

#include <fmt/format.h>

#include <cstdlib>

namespace pgrecast {
namespace {

// Half of the distance at which 32-bit xids become ambiguous (2^31).
constexpr std::int64_t kDistanceMax = std::int64_t{1} << 30U;

}  // namespace

Xid64 widen_xid(std::uint32_t wire, Xid64 reference) {
  // The difference modulo 2^32, as a signed number, is the way to the nearest
  // id with these low bits.
  const auto low = static_cast<std::uint32_t>(reference.value);
  const std::int64_t distance = static_cast<std::int32_t>(wire - low);
  const bool below_zero =
      distance < 0 && static_cast<std::uint64_t>(-distance) > reference.value;
  if (std::abs(distance) >= kDistanceMax || below_zero) {
    throw ProtocolError(
        fmt::format("transaction id {} of the stream is {} away from the "
                    "recent id {}: its epoch cannot be told",
                    wire, distance, reference.value));
  }
  return Xid64{reference.value + static_cast<std::uint64_t>(distance)};
}

}  // namespace pgrecast
