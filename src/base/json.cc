#include "pgrecast/base/json.h"

#include "pgrecast/base/error.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>
#include <string_view>

namespace pgrecast {
namespace {

bool is_utf8(std::string_view text) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
    return true;
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

// The first one in it, at any depth.
std::optional<std::string> text_that_is_not_utf8(const nlohmann::json& value) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (!is_utf8(text)) return text;
  }
  if (!value.is_structured()) return std::nullopt;
  for (const auto& [key, part] : value.items()) {
    if (value.is_object() && !is_utf8(key)) return key;
    if (auto found = text_that_is_not_utf8(part)) return found;
  }
  return std::nullopt;
}

std::string escaped(std::string_view text) {
  constexpr unsigned char kAsciiMax = 0x7f;
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    shown +=
        byte <= kAsciiMax ? std::string(1, c) : fmt::format("\\x{:02X}", byte);
  }
  return shown;
}

// What surrounds its first byte beyond ASCII.
std::string escaped_excerpt(std::string_view text) {
  constexpr std::size_t kAround = 60;
  const auto beyond = std::ranges::find_if(text, [](char c) {
    return (static_cast<unsigned char>(c) & 0x80U) != 0;
  });
  const auto at = static_cast<std::size_t>(beyond - text.begin());
  const std::size_t first = at < kAround ? 0 : at - kAround;
  return (first == 0 ? "" : "..") + escaped(text.substr(first, 2 * kAround)) +
         (first + 2 * kAround < text.size() ? ".." : "");
}

}  // namespace

std::string recorded_json(const nlohmann::json& value) {
  try {
    return value.dump();
  } catch (const nlohmann::json::type_error&) {
    throw Refused(
        fmt::format("a name or a definition is not UTF-8, in a database of "
                    "encoding SQL_ASCII: {}",
                    escaped_excerpt(text_that_is_not_utf8(value).value())),
        "rename it, or define it anew, in ASCII or UTF-8 (the rows' values may "
        "be any bytes)");
  }
}

std::string utf8_or_escaped(const std::string& text) {
  return is_utf8(text) ? text : escaped(text);
}

std::string shown_json(const nlohmann::json& value, int indent) {
  return value.dump(indent, ' ', false,
                    nlohmann::json::error_handler_t::replace);
}

}  // namespace pgrecast
