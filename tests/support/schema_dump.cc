#include "support/schema_dump.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <memory>
#include <stdexcept>

namespace pgrecast::test {
namespace {

std::string stripped(std::string line) {
  line.erase(0, line.find_first_not_of(' '));
  if (line.ends_with(',')) line.pop_back();
  return line;
}

}  // namespace

std::vector<std::string> schema_dump(const std::string& dsn,
                                     const std::string& what) {
  const std::string command =
      "pg_dump --schema-only " + what + " --dbname='" + dsn + "' 2>&1";
  const auto close = [](FILE* pipe) { return pclose(pipe); };
  std::string text;
  FILE* pipe = popen(command.c_str(), "r");  // NOLINT(cert-env33-c): a test
  if (pipe == nullptr) throw std::runtime_error("pg_dump cannot be started");
  std::array<char, 4096> buffer{};
  while (const std::size_t size =
             fread(buffer.data(), 1, buffer.size(), pipe)) {
    text.append(buffer.data(), size);
  }
  if (close(pipe) != 0) {
    if (text.find("server version mismatch") != std::string::npos) return {};
    if (text.find("not found") != std::string::npos) return {};
    throw std::runtime_error("pg_dump: " + text);
  }
  std::vector<std::string> lines;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const auto end = std::min(text.find('\n', begin), text.size());
    std::string line = stripped(text.substr(begin, end - begin));
    // A newer one begins and ends with a random word.
    const bool noise = line.empty() || line.starts_with("--") ||
                       line.starts_with("\\restrict") ||
                       line.starts_with("\\unrestrict");
    if (!noise) lines.push_back(std::move(line));
    begin = end + 1;
  }
  return lines;
}

std::vector<std::string> dump_difference(
    const std::vector<std::string>& before,
    const std::vector<std::string>& after) {
  std::vector<std::string> was = before;
  std::vector<std::string> now = after;
  std::ranges::sort(was);
  std::ranges::sort(now);
  std::vector<std::string> gone;
  std::vector<std::string> come;
  std::ranges::set_difference(was, now, std::back_inserter(gone));
  std::ranges::set_difference(now, was, std::back_inserter(come));
  std::vector<std::string> lines;
  for (const std::string& line : gone) lines.push_back("- " + line);
  for (const std::string& line : come) lines.push_back("+ " + line);
  return lines;
}

}  // namespace pgrecast::test
