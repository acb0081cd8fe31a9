#include "place_of.h"

#include "postgres_parser.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

namespace pgrecast::script {
namespace {

// What differs between the two, in tokens: the table below has the square of
// it. A statement of so many names that are all replaced is nobody's.
constexpr std::size_t kAlignedMax = 4000;

struct Word {
  std::string_view text;
  std::size_t begin = 0;
};

std::optional<std::vector<Word>> words_of(const std::string& text) {
  const auto tokens = scan_sql(text);
  if (!tokens) return std::nullopt;
  std::vector<Word> words;
  for (const Token& token : *tokens) {
    if (token.kind == Token::Kind::kComment) continue;
    words.push_back(
        {std::string_view(text).substr(token.span.begin, token.span.size()),
         token.span.begin});
  }
  return words;
}

bool same(const Word& a, const Word& b) {
  return a.text == b.text;
}

// lengths[i][j]: of the longest common subsequence of a[i..] and b[j..].
class CommonLengths {
 public:
  CommonLengths(const std::vector<Word>& a, const std::vector<Word>& b)
      : columns_(b.size() + 1), lengths_((a.size() + 1) * columns_) {
    for (std::size_t i = a.size(); i-- > 0;) {
      for (std::size_t j = b.size(); j-- > 0;) {
        lengths_[i * columns_ + j] = same(a[i], b[j])
                                         ? 1 + at(i + 1, j + 1)
                                         : std::max(at(i + 1, j), at(i, j + 1));
      }
    }
  }

  std::uint16_t at(std::size_t i, std::size_t j) const {
    return lengths_[i * columns_ + j];
  }

 private:
  std::size_t columns_;
  std::vector<std::uint16_t> lengths_;
};

}  // namespace

std::optional<std::size_t> place_of(const std::string& text,
                                    const std::string& made,
                                    std::size_t offset) {
  auto source = words_of(text);
  auto result = words_of(made);
  if (!source || !result || source->empty()) return std::nullopt;

  // The last word that begins at or before the place.
  const auto behind =
      std::ranges::upper_bound(*result, offset, {}, &Word::begin);
  if (behind == result->begin()) return std::nullopt;
  const auto wanted = static_cast<std::size_t>(behind - result->begin()) - 1;
  const std::size_t into = offset - (*result)[wanted].begin;
  if (into > (*result)[wanted].text.size()) return std::nullopt;

  const auto [left, right] = std::ranges::mismatch(*source, *result, same);
  const auto common = static_cast<std::size_t>(right - result->begin());
  if (wanted < common) return (*source)[wanted].begin + into;

  const std::vector<Word> a(left, source->end());
  const std::vector<Word> b(right, result->end());
  if (a.size() > kAlignedMax || b.size() > kAlignedMax) return std::nullopt;
  const CommonLengths lengths(a, b);
  const std::size_t target = wanted - common;
  std::size_t i = 0;
  std::size_t j = 0;
  std::size_t gap = 0;  // what follows the last common word before `target`
  while (j < target) {
    if (i < a.size() && same(a[i], b[j])) {
      gap = ++i;
      ++j;
    } else if (i < a.size() && lengths.at(i + 1, j) >= lengths.at(i, j + 1)) {
      ++i;
    } else {
      ++j;
    }
  }
  while (i < a.size() && !same(a[i], b[target]) &&
         lengths.at(i + 1, target) >= lengths.at(i, target + 1)) {
    ++i;
  }
  if (i < a.size() && same(a[i], b[target])) return a[i].begin + into;
  return gap < a.size() ? a[gap].begin : source->back().begin;
}

}  // namespace pgrecast::script
