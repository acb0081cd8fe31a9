#include "support/program.h"

#include "pgrecast/base/error.h"

#include "support/eventually.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace pgrecast::test {
namespace {

std::vector<std::string> prepended(const std::string& first,
                                   const std::vector<std::string>& rest) {
  std::vector<std::string> all{first};
  all.insert(all.end(), rest.begin(), rest.end());
  return all;
}

}  // namespace

std::string pgrecast_binary() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets it while we run
  if (const char* binary = std::getenv("PGRECAST_BINARY")) return binary;
#ifdef PGRECAST_TEST_BINARY
  return PGRECAST_TEST_BINARY;
#else
  throw std::runtime_error("this build has no pgrecast: set PGRECAST_BINARY");
#endif
}

Program::Folder::Folder() : path("/tmp/pgrecast-run-XXXXXX") {
  if (mkdtemp(path.data()) == nullptr) {
    throw std::runtime_error("cannot make a folder in /tmp");
  }
}

Program::Folder::Folder(Folder&& other) noexcept
    : path(std::exchange(other.path, "")) {}

Program::Folder& Program::Folder::operator=(Folder&& other) noexcept {
  std::swap(path, other.path);
  return *this;
}

Program::Folder::~Folder() {
  std::error_code ignored;
  if (!path.empty()) std::filesystem::remove_all(path, ignored);
}

Program::Program(const Texts& arguments, const Texts& environment)
    : Program(Folder(), prepended(pgrecast_binary(), arguments), environment) {}

Program Program::command(const Texts& command, const Texts& environment) {
  return {Folder(), command, environment};
}

Program::Program(Folder folder, const Texts& command, const Texts& environment)
    : folder_(std::move(folder)),
      process_({.command = command,
                .environment = environment,
                .stdout_path = folder_.path + "/stdout",
                .stderr_path = folder_.path + "/stderr"}) {}

int Program::wait(Deadline deadline) {
  const auto exit_code = process_.wait(deadline);
  if (!exit_code) {
    throw TimedOut(fmt::format("the program to end; it wrote:\n{}", output()));
  }
  return *exit_code;
}

void Program::wait_for_output(const std::string& regex, Deadline deadline) {
  const std::regex wanted(regex);
  bool ended = false;
  bool found = false;
  eventually(
      [&] {
        // In this order: what it wrote just before its end counts.
        ended = !running();
        found = std::regex_search(out(), wanted) ||
                std::regex_search(err(), wanted);
        return found || ended;
      },
      deadline);
  if (!found) {
    throw TimedOut(
        fmt::format("output that matches '{}' of a program that {}; "
                    "it wrote:\n{}",
                    regex, ended ? "ended" : "goes on", output()));
  }
}

void Program::wait_until_frozen(Deadline deadline) {
  const std::string path = fmt::format("/proc/{}/stat", pid());
  const bool frozen = eventually(
      [&] {
        std::ifstream stat(path);
        std::string number;
        std::string name;
        std::string state;
        stat >> number >> name >> state;
        return state == "T";
      },
      deadline);
  if (!frozen) {
    throw TimedOut(
        fmt::format("the program to be frozen; it wrote:\n{}", output()));
  }
}

std::string Program::out() const {
  return read_file(folder_.path + "/stdout");
}

std::string Program::err() const {
  return read_file(folder_.path + "/stderr");
}

}  // namespace pgrecast::test
