#pragma once

#include <cstddef>
#include <stop_token>
#include <string>

// The person at the other end of stdin, stdout and stderr.
namespace pgrecast::cli {

// A terminal that has colours, and a person who wants them: not under NO_COLOR
// (https://no-color.org) or TERM=dumb.
bool wants_colour(int file);

// A terminal on which what is printed can be replaced: not under TERM=dumb.
bool can_redraw(int file);

// How large the terminal is; 80 by 24 where nobody tells.
std::size_t columns_of(int file);
std::size_t rows_of(int file);

// The same for text that is broken into lines: kColumns at most, and not so few
// that nothing could be read.
std::size_t page_columns(int file);

// A page to be printed in the place of the last one, from the top of the
// screen: over what was there, so that nothing flickers. What does not fit into
// `rows` is left out, as the screen would scroll.
std::string redrawn(const std::string& page, std::size_t rows);

// Asks on stdout, and reads a line from stdin: whether it is a yes. Everything
// else is a no, an end of input (Ctrl-D) too. Throws Stopped.
bool confirmed(const std::string& question, const std::stop_token& stop);

}  // namespace pgrecast::cli
