#include "pgrecast/exchange/printed.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace pgrecast::exchange {
namespace {

bool of_a_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) != 0 || c == '_' || c == '$' || byte >= 0x80;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  std::string bare() && {
    while (!rest_.empty()) {
      const char c = rest_.front();
      if (c == '\'' || c == '"') {
        kept_ += quoted();
      } else if (rest_.starts_with("::")) {
        rest_.remove_prefix(2);
        skip_type();
      } else {
        if (c != '(' && c != ')') kept_ += c;
        rest_.remove_prefix(1);
      }
    }
    return std::move(kept_);
  }

 private:
  std::string_view take(std::size_t size) {
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(taken.size());
    return taken;
  }

  // A doubled quote within ends one and begins the next.
  std::string_view quoted() {
    const auto end = rest_.find(rest_.front(), 1);
    return take(end == std::string_view::npos ? rest_.size() : end + 1);
  }

  void skip_type() {
    skip_name();
    while (rest_.starts_with(".")) {
      take(1);
      skip_name();
    }
    skip_modifier();
    // The types of several words. The modifier may stand among them.
    static constexpr std::array kMore = {
        " precision", " varying", " without time zone", " with time zone"};
    for (const std::string_view more : kMore) {
      if (!rest_.starts_with(more)) continue;
      take(more.size());
      break;
    }
    skip_modifier();
    while (rest_.starts_with("[]")) take(2);
  }

  void skip_name() {
    if (rest_.starts_with("\"")) {
      while (rest_.starts_with("\"")) quoted();
      return;
    }
    take(static_cast<std::size_t>(std::ranges::find_if_not(rest_, of_a_word) -
                                  rest_.begin()));
  }

  void skip_modifier() {
    const std::size_t digits =
        rest_.empty() ? 0 : rest_.find_first_not_of("0123456789,", 1);
    if (!rest_.starts_with("(") || digits == 1 ||
        digits == std::string_view::npos || rest_[digits] != ')') {
      return;
    }
    take(digits + 1);
  }

  std::string_view rest_;
  std::string kept_;
};

}  // namespace

std::string without_casts(std::string_view printed) {
  return Scanner(printed).bare();
}

}  // namespace pgrecast::exchange
