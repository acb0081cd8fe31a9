#include "pgrecast/script/source_text.h"

#include "pgrecast/base/assert.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace pgrecast::script {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// Longer lines are shown in part: a terminal of 80 columns would wrap them, and
// the caret would stand below the wrong text.
constexpr std::size_t kShownCharactersMax = 72;
constexpr std::size_t kShownBeforeMax = 36;

std::uint8_t byte_at(std::string_view text, std::size_t at) {
  return static_cast<std::uint8_t>(text[at]);
}

bool is_continuation(std::string_view text, std::size_t at) {
  return (byte_at(text, at) & 0xC0U) == 0x80U;
}

// The length of the UTF-8 sequence that `lead` begins; 0 if it begins none.
std::size_t sequence_length(std::uint8_t lead) {
  if (lead < 0x80U) return 1;
  if (lead >= 0xC2U && lead < 0xE0U) return 2;
  if (lead >= 0xE0U && lead < 0xF0U) return 3;
  if (lead >= 0xF0U && lead < 0xF5U) return 4;
  return 0;
}

// Overlong forms, surrogates and what lies beyond U+10FFFF show in the second
// byte (Unicode standard, table 3-7).
bool second_byte_fits(std::uint8_t lead, std::uint8_t second) {
  switch (lead) {
    case 0xE0U:
      return second >= 0xA0U;
    case 0xEDU:
      return second < 0xA0U;
    case 0xF0U:
      return second >= 0x90U;
    case 0xF4U:
      return second < 0x90U;
    default:
      return true;
  }
}

// 0 where the bytes at `at` are no character.
std::size_t valid_length(std::string_view text, std::size_t at) {
  const std::uint8_t lead = byte_at(text, at);
  const std::size_t length = sequence_length(lead);
  if (lead == 0 || length == 0 || at + length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if (!is_continuation(text, at + i)) return 0;
  }
  if (length > 1 && !second_byte_fits(lead, byte_at(text, at + 1))) return 0;
  return length;
}

struct Character {
  std::string_view bytes;
  std::uint32_t code = 0;
};

std::vector<Character> characters(std::string_view line) {
  std::vector<Character> result;
  for (std::size_t at = 0; at < line.size();) {
    const std::size_t length = std::max<std::size_t>(valid_length(line, at), 1);
    constexpr std::array<std::uint32_t, 5> kLeadMask{0, 0x7F, 0x1F, 0x0F, 0x07};
    std::uint32_t code = byte_at(line, at) & kLeadMask.at(length);
    for (std::size_t i = 1; i < length; ++i) {
      code = (code << 6U) | (byte_at(line, at + i) & 0x3FU);
    }
    result.push_back({line.substr(at, length), code});
    at += length;
  }
  return result;
}

struct CodeRange {
  std::uint32_t first;
  std::uint32_t last;
};

bool is_in_any(std::uint32_t code, const CodeRange* begin,
               const CodeRange* end) {
  return std::any_of(begin, end, [code](const CodeRange& range) {
    return code >= range.first && code <= range.last;
  });
}

// Columns on a terminal, by the usual wcwidth tables in short: enough for a
// caret, no more is asked of it.
std::size_t width_of(std::uint32_t code) {
  static constexpr std::array kZero{CodeRange{0x0300, 0x036F},
                                    CodeRange{0x200B, 0x200F},
                                    CodeRange{0xFE00, 0xFE0F}};
  static constexpr std::array kTwo{
      CodeRange{0x1100, 0x115F},   CodeRange{0x2E80, 0x303E},
      CodeRange{0x3041, 0xA4CF},   CodeRange{0xAC00, 0xD7A3},
      CodeRange{0xF900, 0xFAFF},   CodeRange{0xFE30, 0xFE6F},
      CodeRange{0xFF00, 0xFF60},   CodeRange{0xFFE0, 0xFFE6},
      CodeRange{0x1F300, 0x1FAFF}, CodeRange{0x20000, 0x3FFFD}};
  if (is_in_any(code, kZero.data(), kZero.data() + kZero.size())) return 0;
  if (is_in_any(code, kTwo.data(), kTwo.data() + kTwo.size())) return 2;
  return 1;
}

// Other control characters would move the cursor of the terminal.
std::string printable(const Character& character) {
  if (character.code == '\t') return "\t";
  if (character.code < 0x20 || character.code == 0x7F) return " ";
  return std::string(character.bytes);
}

std::string blank_for(const Character& character) {
  if (character.code == '\t') return "\t";
  return std::string(width_of(character.code), ' ');
}

struct Excerpt {
  std::string line;
  std::string caret;
};

// `column` from 0.
Excerpt excerpt(std::string_view line, std::size_t column) {
  const std::vector<Character> all = characters(line);
  std::size_t first = 0;
  if (all.size() > kShownCharactersMax && column > kShownBeforeMax) {
    first = column - kShownBeforeMax;
  }
  const std::size_t last = std::min(all.size(), first + kShownCharactersMax);
  const std::string_view dots = first > 0 ? "..." : "";
  Excerpt result{std::string(dots), std::string(dots.size(), ' ')};
  for (std::size_t i = first; i < last; ++i) {
    result.line += printable(all[i]);
    if (i < column) result.caret += blank_for(all[i]);
  }
  if (last < all.size()) result.line += "...";
  result.caret += '^';
  return result;
}

}  // namespace

SourceText::SourceText(std::string text, std::string file_name)
    : text_(std::move(text)), file_name_(std::move(file_name)) {
  if (std::string_view(text_).substr(0, 3) == kByteOrderMark) text_.erase(0, 3);
}

std::string_view SourceText::slice(Span span) const {
  PGRECAST_ASSERT(span.begin <= span.end, "begin={} end={}", span.begin,
                  span.end);
  PGRECAST_ASSERT(span.end <= text_.size(), "end={} size={}", span.end,
                  text_.size());
  return std::string_view(text_).substr(span.begin, span.size());
}

Place SourceText::place(std::size_t offset) const {
  const std::string_view before =
      std::string_view(text_).substr(0, std::min(offset, text_.size()));
  Place place;
  for (std::size_t at = 0; at < before.size(); ++at) {
    if (before[at] == '\n') {
      ++place.line;
      place.column = 1;
    } else if (!is_continuation(before, at)) {
      ++place.column;
    }
  }
  return place;
}

std::string SourceText::message_at(std::size_t offset, std::string_view message,
                                   std::string_view remedy) const {
  const Place where = place(offset);
  const std::string_view text = text_;
  const std::size_t at = std::min(offset, text.size());
  const std::size_t newline = at == 0 ? text.npos : text.rfind('\n', at - 1);
  const std::size_t begin = newline == text.npos ? 0 : newline + 1;
  std::string_view line = text.substr(begin, text.find('\n', begin) - begin);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  const Excerpt shown =
      excerpt(line, static_cast<std::size_t>(where.column) - 1);
  return fmt::format("{}:{}:{}: {}\n  {}\n  {}{}{}", file_name_, where.line,
                     where.column, message, shown.line, shown.caret,
                     remedy.empty() ? "" : "\n  ", remedy);
}

std::size_t find_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = valid_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

std::size_t offset_of_character(std::string_view text, std::size_t count) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (is_continuation(text, at)) continue;
    if (count == 0) return at;
    --count;
  }
  return text.size();
}

std::size_t count_characters(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (!is_continuation(text, at)) ++count;
  }
  return count;
}

}  // namespace pgrecast::script
