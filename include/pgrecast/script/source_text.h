#pragma once

#include <compare>
#include <cstddef>
#include <string>
#include <string_view>

namespace pgrecast::script {

// Bytes [begin, end) of a script's text.
struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;

  std::size_t size() const { return end - begin; }
  auto operator<=>(const Span&) const = default;
};

// Where a person finds it, both from 1. The column counts characters (UTF-8
// code points, a tab is one), as editors do.
struct Place {
  int line = 1;
  int column = 1;

  auto operator<=>(const Place&) const = default;
};

// A script's text and its name for messages. Immutable, so any thread may read
// it. What slice() returns lives as long as the SourceText stays in its place.
class SourceText {
 public:
  // `file_name` is only printed, never opened. A byte order mark in front is
  // dropped: psql does so too.
  SourceText(std::string text, std::string file_name);

  const std::string& text() const { return text_; }
  const std::string& file_name() const { return file_name_; }

  std::string_view slice(Span span) const;

  // `offset` may be the text's end.
  Place place(std::size_t offset) const;

  // For people: file, line, column and message; the line with a caret below
  // the character; the remedy. No newline at the end.
  //
  //   orders.sql:3:14: a sub-select reads other tables
  //     UPDATE orders SET a = (SELECT 1);
  //                           ^
  //     write ...
  //
  // The caret line repeats the tabs of the line; characters that take two
  // columns of a terminal, or none, are counted as such; of a long line the
  // part around the place is shown.
  std::string message_at(std::size_t offset, std::string_view message,
                         std::string_view remedy) const;

 private:
  std::string text_;
  std::string file_name_;
};

// The offset of the first byte that is not part of valid UTF-8, or that is a
// zero byte (which would end the text for the parser); npos when there is none.
std::size_t find_invalid_utf8(std::string_view text);

// The offset of the character number `count` (from 0); the text's size when it
// has fewer.
std::size_t offset_of_character(std::string_view text, std::size_t count);

// How many characters there are.
std::size_t count_characters(std::string_view text);

}  // namespace pgrecast::script
