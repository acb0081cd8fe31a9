#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pgrecast::cli {

// What a terminal has at least, and what people paste into tickets.
inline constexpr std::size_t kColumns = 80;

// `text` broken at its spaces, so that no line is longer than `columns` unless
// a single word is; ends with a newline. `first` stands before the first line,
// as many spaces before the others.
std::string wrapped(std::string_view first, std::string_view text,
                    std::size_t columns = kColumns);

// The same of SQL, whose lines and spaces stay as they are: broken only at a
// space outside of quotes, and not at all where quotes cannot be told from the
// rest so easily (dollar quotes, comments). Each line is indented by `indent`.
std::string wrapped_sql(std::string_view indent, std::string_view text,
                        std::size_t columns = kColumns);

// Without characters that move the cursor or change the terminal: each is
// shown as '?'. Newlines and tabs stay.
std::string printable(std::string_view text);

// In characters; every one counts as one column.
std::size_t display_width(std::string_view text);

// `text` with spaces behind it up to `width` columns.
std::string padded(const std::string& text, std::size_t width);

// 1234567 -> "1.2M"
std::string short_count(double number);

// Of bytes, by 1024: "640kB", "1.5GB".
std::string short_size(double bytes);

// "45s", "1m40s", "2h05m"
std::string short_duration(double seconds);

}  // namespace pgrecast::cli
