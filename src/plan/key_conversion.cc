#include "key_conversion.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace pgrecast::plan {
namespace {

using catalog::Oid;

constexpr Oid kInt8 = 20;
constexpr Oid kInt2 = 21;
constexpr Oid kInt4 = 23;
constexpr Oid kText = 25;
constexpr Oid kOid = 26;
constexpr Oid kFloat4 = 700;
constexpr Oid kFloat8 = 701;
constexpr Oid kBpchar = 1042;
constexpr Oid kVarchar = 1043;
constexpr Oid kDate = 1082;
constexpr Oid kTimestamp = 1114;
constexpr Oid kVarbit = 1562;
constexpr Oid kNumeric = 1700;

constexpr std::array<std::pair<Oid, Oid>, 12> kOrderKept = {{
    {kInt2, kInt4},
    {kInt2, kInt8},
    {kInt4, kInt8},
    {kInt2, kNumeric},
    {kInt4, kNumeric},
    {kInt8, kNumeric},
    {kOid, kInt8},
    {kFloat4, kFloat8},
    {kText, kVarchar},
    {kVarchar, kText},
    {kDate, kTimestamp},
    {kInt8, kInt8},
}};

// An assignment cuts blanks off the end of what is too long for a varchar(n),
// so that 'a' and 'a ' may become one key, and a key cannot be looked up by
// what it was.
bool cuts_blanks(const catalog::Column& from, const catalog::Column& to) {
  if (to.base_type_oid != kVarchar || to.base_modifier < 0) return false;
  return from.base_type_oid != kVarchar || from.base_modifier < 0 ||
         from.base_modifier > to.base_modifier;
}

// Types whose modifier is a length that assignment checks, not a precision to
// which it rounds.
bool modifier_is_length(Oid type) {
  return type == kVarchar || type == kBpchar || type == kVarbit;
}

}  // namespace

std::optional<std::string> key_conversion_problem(const catalog::Column& from,
                                                  const catalog::Column& to) {
  if (from.collation != to.collation) {
    return "its collation changes, and with it the order of the keys";
  }
  if (cuts_blanks(from, to)) {
    return fmt::format("{} may cut blanks off the end of keys of type {}",
                       to.type, from.type);
  }
  if (from.type_oid == to.type_oid) {
    if (from.type_modifier == to.type_modifier || to.type_modifier < 0 ||
        modifier_is_length(to.base_type_oid)) {
      return std::nullopt;
    }
    return fmt::format("{} may round two keys of type {} to one", to.type,
                       from.type);
  }
  const std::pair wanted{from.base_type_oid, to.base_type_oid};
  const bool known = from.base_type_oid == to.base_type_oid ||
                     std::ranges::find(kOrderKept, wanted) != kOrderKept.end();
  const bool rounds =
      to.type_modifier >= 0 && !modifier_is_length(to.base_type_oid);
  if (known && !rounds) return std::nullopt;
  return fmt::format(
      "the conversion from {} to {} is not known to keep keys apart and in "
      "order",
      from.type, to.type);
}

}  // namespace pgrecast::plan
