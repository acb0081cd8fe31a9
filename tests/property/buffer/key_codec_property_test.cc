#include "pgrecast/buffer/key_codec.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pgrecast {
namespace {

std::string encoded(const KeyCodec& codec,
                    const std::vector<std::string>& texts) {
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  std::string out;
  codec.encode(views, out);
  return out;
}

// The texts come back, and the bytes compare as `order` says.
void check_pair(const KeyCodec& codec, const std::vector<std::string>& left,
                const std::vector<std::string>& right,
                std::strong_ordering order) {
  const std::string left_bytes = encoded(codec, left);
  const std::string right_bytes = encoded(codec, right);
  RC_ASSERT(codec.decode(left_bytes) == left);
  RC_ASSERT((left_bytes <=> right_bytes) == order);
}

template <typename Int>
void integers_keep_their_order(ColumnForm form) {
  const auto left = *rc::gen::arbitrary<Int>();
  const auto right =
      *rc::gen::oneOf(rc::gen::arbitrary<Int>(), rc::gen::just(left),
                      rc::gen::element(std::numeric_limits<Int>::min(), Int{0},
                                       std::numeric_limits<Int>::max()));
  check_pair(KeyCodec({form}), {fmt::format("{}", left)},
             {fmt::format("{}", right)}, left <=> right);
}

RC_GTEST_PROP(KeyCodecProperty, IntegersKeepTheServersOrder, ()) {
  integers_keep_their_order<std::int16_t>(ColumnForm::kInt2);
  integers_keep_their_order<std::int32_t>(ColumnForm::kInt4);
  integers_keep_their_order<std::int64_t>(ColumnForm::kInt8);
  integers_keep_their_order<std::uint32_t>(ColumnForm::kOid);
}

rc::Gen<std::string> uuids() {
  const auto hex = [](std::size_t digits) {
    return rc::gen::container<std::string>(
        digits, rc::gen::elementOf(std::string("0123456789abcdef")));
  };
  return rc::gen::apply(
      [](const std::string& a, const std::string& b, const std::string& c,
         const std::string& d, const std::string& e) {
        return fmt::format("{}-{}-{}-{}-{}", a, b, c, d, e);
      },
      hex(8), hex(4), hex(4), hex(4), hex(12));
}

RC_GTEST_PROP(KeyCodecProperty, UuidsKeepTheServersOrder, ()) {
  const std::string left = *uuids();
  const std::string right = *uuids();
  // Digits sort before letters, and all texts have one length.
  check_pair(KeyCodec({ColumnForm::kUuid}), {left}, {right}, left <=> right);
}

// Months of 30 days, of which only the first 28 may be asked for.
// As the server prints it: no fraction if it is zero, no zeros at its end.
std::string timestamp_text(std::uint64_t microseconds) {
  const std::uint64_t second = microseconds / 1000000;
  std::string text = fmt::format(
      "{:04}-{:02}-{:02} {:02}:{:02}:{:02}", 1 + second / 31104000 % 9999,
      1 + second / 2592000 % 12, 1 + second / 86400 % 30, second / 3600 % 24,
      second / 60 % 60, second % 60);
  if (microseconds % 1000000 == 0) return text;
  text += fmt::format(".{:06}", microseconds % 1000000);
  text.erase(text.find_last_not_of('0') + 1);
  return text;
}

RC_GTEST_PROP(KeyCodecProperty, TimestampsKeepTheServersOrder, ()) {
  constexpr std::uint64_t kDay = 86400000000;
  const auto day = *rc::gen::inRange<std::uint64_t>(0, 9999 * 360);
  const std::uint64_t start = (day - day % 30) * kDay;
  const auto times = rc::gen::inRange<std::uint64_t>(0, 28 * kDay);
  const std::uint64_t left = start + *times;
  const std::uint64_t right = *rc::gen::oneOf(
      rc::gen::just(left), rc::gen::just(left / 1000000 * 1000000),
      rc::gen::map(times,
                   [start](std::uint64_t time) { return start + time; }));
  check_pair(KeyCodec({ColumnForm::kTimestamp}), {timestamp_text(left)},
             {timestamp_text(right)}, left <=> right);
  // With the offset that timestamptz has under TimeZone UTC.
  check_pair(KeyCodec({ColumnForm::kTimestamp}), {timestamp_text(left) + "+00"},
             {timestamp_text(right) + "+00"}, left <=> right);
}

// Few different bytes, so that zeros and common prefixes are frequent.
rc::Gen<std::string> raw_texts() {
  return rc::gen::container<std::string>(
      rc::gen::element('\0', '\1', 'a', 'b', '\xff'));
}

RC_GTEST_PROP(KeyCodecProperty, CompositeKeysSortColumnByColumn, ()) {
  const KeyCodec codec({ColumnForm::kRaw, ColumnForm::kInt4, ColumnForm::kRaw});
  const auto keys = rc::gen::tuple(
      raw_texts(), rc::gen::inRange<std::int32_t>(-300, 300), raw_texts());
  const auto left = *keys;
  const auto right = *keys;
  const auto texts = [](const auto& key) {
    return std::vector<std::string>{
        std::get<0>(key), std::to_string(std::get<1>(key)), std::get<2>(key)};
  };
  check_pair(codec, texts(left), texts(right), left <=> right);
}

}  // namespace
}  // namespace pgrecast
