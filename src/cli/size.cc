#include "pgrecast/cli/size.h"

#include "pgrecast/base/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <exception>
#include <utility>

namespace pgrecast::cli {
namespace {

constexpr std::array<std::pair<const char*, unsigned>, 5> kUnits = {
    {{"", 0U}, {"kB", 10U}, {"MB", 20U}, {"GB", 30U}, {"TB", 40U}}};
// An exabyte: beyond it, a double would not fit into the result.
constexpr double kBytesMax = 1e18;

}  // namespace

std::int64_t bytes_of(const std::string& size) {
  const UsageError wrong(
      fmt::format("'{}' is no size: write 500MB or 10GB", size));
  // What std::stod takes besides: a sign, blanks, inf, nan, 0x10.
  if (size.empty() || std::isdigit(static_cast<unsigned char>(size[0])) == 0) {
    throw wrong;
  }
  const std::size_t end = size.find_first_not_of("0123456789.");
  const std::string unit = end == std::string::npos ? "" : size.substr(end);
  const auto* found = std::ranges::find(
      kUnits, unit, [](const auto& known) { return std::string(known.first); });
  if (found == kUnits.end()) throw wrong;
  const std::string digits = size.substr(0, end);
  double number = 0;
  try {
    std::size_t used = 0;
    number = std::stod(digits, &used);
    if (used != digits.size()) throw wrong;
  } catch (const std::exception&) {
    throw wrong;
  }
  number *= static_cast<double>(std::int64_t{1} << found->second);
  if (number > kBytesMax) throw wrong;
  return static_cast<std::int64_t>(number);
}

}  // namespace pgrecast::cli
