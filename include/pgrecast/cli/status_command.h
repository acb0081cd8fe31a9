#pragma once

#include <optional>
#include <stop_token>
#include <string>

namespace pgrecast::cli {

struct StatusCommand {
  std::string conninfo;
  std::optional<std::string> name;  // all of the database's, without it
  bool list = false;                // a line each
  bool json = false;
  bool watch = false;
};

// `pgrecast status` and `pgrecast list`. With `watch` it is printed again every
// second, on a terminal in its place, until a stop request, which is no error
// then. Throws what migration::read_status throws.
void show_status(const StatusCommand& command, const std::stop_token& stop);

}  // namespace pgrecast::cli
