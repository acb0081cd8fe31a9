#include "pgrecast/cli/lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

namespace pgrecast::cli {
namespace {

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t begin = text.find_first_not_of(" \n", at);
    if (begin == std::string_view::npos) break;
    const std::size_t end =
        std::min(text.find_first_of(" \n", begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    at = end;
  }
  return words;
}

// A tenth below 100, none above: never more than four characters. What would
// be rounded up to a whole unit becomes the next one.
struct Scaled {
  double value;
  std::size_t unit;
};
Scaled scaled(double number, double base, std::size_t units) {
  constexpr double kHalf = 0.5;
  std::size_t unit = 0;
  while (number >= base - kHalf && unit + 1 < units) {
    number /= base;
    ++unit;
  }
  return {.value = number, .unit = unit};
}

std::string digits(const Scaled& scaled) {
  constexpr double kTenthsBelow = 99.95;
  return scaled.unit == 0 || scaled.value >= kTenthsBelow
             ? fmt::format("{:.0f}", scaled.value)
             : fmt::format("{:.1f}", scaled.value);
}

}  // namespace

std::string wrapped(std::string_view first, std::string_view text,
                    std::size_t columns) {
  std::string result(first);
  const std::size_t indent = display_width(first);
  std::size_t column = indent;
  bool fresh = true;
  for (const std::string_view word : words_of(text)) {
    const std::size_t width = display_width(word);
    if (!fresh && column + 1 + width > columns) {
      result += '\n';
      result.append(indent, ' ');
      column = indent;
      fresh = true;
    }
    if (!std::exchange(fresh, false)) {
      result += ' ';
      ++column;
    }
    result += word;
    column += width;
  }
  return result + "\n";
}

std::string wrapped_sql(std::string_view indent, std::string_view text,
                        std::size_t columns) {
  const bool breakable = text.find('$') == std::string_view::npos &&
                         text.find("--") == std::string_view::npos &&
                         text.find("/*") == std::string_view::npos;
  std::string result(indent);
  std::size_t line = 0;   // where the present one begins, in result
  std::size_t space = 0;  // its last one outside of quotes
  char quote = 0;
  for (const char c : text) {
    if (quote != 0 ? c == quote : c == '\'' || c == '"') {
      quote = quote == 0 ? c : '\0';
    }
    result += c;
    if (c == '\n') {
      line = result.size();
      if (quote == 0) result += indent;
      space = 0;
    } else if (c == ' ' && quote == 0) {
      if (result.size() - line > indent.size() + 2) space = result.size() - 1;
    } else if (breakable && space > 0 && result.size() - line > columns) {
      const std::string rest = result.substr(space + 1);
      result.resize(space);
      result += '\n';
      line = result.size();
      result.append(indent).append("  ").append(rest);
      space = 0;
    }
  }
  return result + "\n";
}

std::string printable(std::string_view text) {
  constexpr unsigned char kDelete = 0x7f;
  constexpr unsigned char kFirstOfC1 = 0x80;
  constexpr unsigned char kLastOfC1 = 0x9f;
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next =
        static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if ((c < ' ' && c != '\n' && c != '\t') || c == kDelete) {
      result += '?';
    } else if (c == 0xc2 && next >= kFirstOfC1 && next <= kLastOfC1) {
      result += '?';
      ++i;
    } else {
      result += text[i];
    }
  }
  return result;
}

std::size_t display_width(std::string_view text) {
  constexpr unsigned char kContinuation = 0xc0;
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) {
    return (static_cast<unsigned char>(c) & kContinuation) != 0x80;
  }));
}

std::string padded(const std::string& text, std::size_t width) {
  const std::size_t has = display_width(text);
  return has >= width ? text : text + std::string(width - has, ' ');
}

std::string short_count(double number) {
  constexpr std::array<std::string_view, 5> kUnits = {"", "k", "M", "G", "T"};
  constexpr double kThousand = 1000;
  const Scaled count = scaled(number, kThousand, kUnits.size());
  return digits(count) + std::string(kUnits[count.unit]);
}

std::string short_size(double bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"B", "kB", "MB", "GB",
                                                      "TB"};
  constexpr double kKilo = 1024;
  const Scaled size = scaled(bytes, kKilo, kUnits.size());
  return digits(size) + std::string(kUnits[size.unit]);
}

std::string short_duration(double seconds) {
  const long whole = std::lround(std::max(seconds, 0.0));
  constexpr long kHour = 3600;
  constexpr long kMinute = 60;
  if (whole < kMinute) return fmt::format("{}s", whole);
  if (whole < kHour) {
    return fmt::format("{}m{:02}s", whole / kMinute, whole % kMinute);
  }
  return fmt::format("{}h{:02}m", whole / kHour, whole / kMinute % kMinute);
}

}  // namespace pgrecast::cli
