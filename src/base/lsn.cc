#include "pgrecast/base/lsn.h"

#include <fmt/format.h>

#include <charconv>

namespace pgrecast {
namespace {

// The server prints each half with at most eight hexadecimal digits.
std::optional<std::uint64_t> parse_half(std::string_view text) {
  if (text.empty() || text.size() > 8) return std::nullopt;
  std::uint32_t half = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, half, 16);
  if (error != std::errc{} || rest != end) return std::nullopt;
  return half;
}

}  // namespace

std::optional<Lsn> Lsn::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto high = parse_half(text.substr(0, slash));
  const auto low = parse_half(text.substr(slash + 1));
  if (!high || !low) return std::nullopt;
  return Lsn{(*high << 32U) | *low};
}

std::string Lsn::to_string() const {
  return fmt::format("{:X}/{:X}", value >> 32U, value & 0xFFFFFFFFU);
}

}  // namespace pgrecast
