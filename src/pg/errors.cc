#include "pgrecast/pg/errors.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace pgrecast::pg {
namespace {

Remedy remedy_of(std::string_view sqlstate) {
  constexpr std::array kTransient = {sqlstate::kSerializationFailure,
                                     sqlstate::kDeadlockDetected,
                                     sqlstate::kLockNotAvailable};
  for (const std::string_view state : kTransient) {
    if (sqlstate == state) return Remedy::kRetryTransaction;
  }
  // The server's disk or memory ran out, or a slot of it: there is room again
  // one day, and nothing of ours is lost meanwhile.
  if (sqlstate.starts_with("53")) return Remedy::kReconnect;
  // 08: connection exceptions; 57P0x: the server shuts down or ended us, as it
  // does (25P03, 25P04) where a transaction took longer than we allow.
  if (sqlstate.starts_with("08") || sqlstate.starts_with("57P0") ||
      sqlstate == "25P03" || sqlstate == "25P04") {
    return Remedy::kReconnect;
  }
  return Remedy::kFail;
}

}  // namespace

SqlError::SqlError(Fields fields)
    : Error(fmt::format("{} [{}]", fields.message, fields.sqlstate),
            remedy_of(fields.sqlstate)),
      fields_(std::move(fields)) {}

bool SqlError::blames_data() const {
  return fields_.sqlstate.starts_with("22") ||
         fields_.sqlstate.starts_with("23");
}

}  // namespace pgrecast::pg
