#include "support/manual.h"

#include "support/process.h"

#include <algorithm>
#include <sstream>
#include <string_view>
#include <vector>

namespace pgrecast::test {
namespace {

using Words = std::vector<std::string>;  // what stands between names

bool is_name(std::string_view word) {
  while (!word.empty() &&
         std::string_view(",:;").find(word.back()) != std::string_view::npos) {
    word.remove_suffix(1);
  }
  return (word.size() == 1 && word != "a") || word == "NAME" || word == "DIR" ||
         word == "..";
}

Words words_of(const std::string& text) {
  Words all(1);
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    if (is_name(word)) {
      all.emplace_back();
    } else {
      all.back() += (all.back().empty() ? "" : " ") + word;
    }
  }
  for (std::string& words : all) {
    while (words.ends_with(',') || words.ends_with(':')) words.pop_back();
  }
  std::erase(all, "");
  return all;
}

// "X is A (or is B, is C) of D": the words without the parentheses, and what is
// said instead, each by itself.
void read_row(const std::string& row, std::vector<Words>& rows) {
  std::string outside;
  std::string inside;
  Words whole;
  const auto end_of = [&](std::string& text, Words& to) {
    for (std::string& words : words_of(text)) to.push_back(std::move(words));
    text.clear();
  };
  const auto instead = [&](std::string& text) {
    if (text.starts_with("or ")) text.erase(0, 3);
    rows.emplace_back();
    end_of(text, rows.back());
  };
  bool in_parentheses = false;
  for (const char c : row) {
    if (c == '`') continue;
    if (c == '(') {
      end_of(outside, whole);
      in_parentheses = true;
    } else if (in_parentheses && (c == ')' || c == ',' || c == ';')) {
      instead(inside);
      in_parentheses = c != ')';
    } else {
      (in_parentheses ? inside : outside) += c;
    }
  }
  end_of(outside, whole);
  rows.push_back(whole);
}

std::vector<Words> read_rows() {
  std::vector<Words> rows;
  std::istringstream manual(read_file(std::string(PGRECAST_TEST_SOURCE_DIR) +
                                      "/docs/reference/plan.md"));
  for (std::string line; std::getline(manual, line);) {
    if (!line.starts_with("| ")) continue;
    read_row(line.substr(2, line.find(" | ") - 2), rows);
  }
  // A word or two may stand anywhere.
  std::erase_if(rows, [](const Words& row) {
    constexpr std::size_t kEnough = 12;
    std::size_t size = 0;
    for (const std::string& words : row) size += words.size();
    return size < kEnough;
  });
  return rows;
}

bool says(std::string_view text, const Words& row) {
  for (const std::string& words : row) {
    const std::size_t at = text.find(words);
    if (at == std::string_view::npos) return false;
    text.remove_prefix(at + words.size());
  }
  return true;
}

}  // namespace

bool is_in_manual(const std::string& refusal) {
  static const std::vector<Words> rows = read_rows();
  return std::ranges::any_of(
      rows, [&](const Words& row) { return says(refusal, row); });
}

}  // namespace pgrecast::test
