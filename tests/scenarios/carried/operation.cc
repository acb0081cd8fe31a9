#include "scenarios/carried/operation.h"

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace pgrecast::test {

Operation::Operation() : folder_("/tmp/pgrecast-carried-XXXXXX") {
  if (mkdtemp(folder_.data()) == nullptr) {
    throw std::runtime_error("cannot make a folder in /tmp");
  }
}

Operation::~Operation() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string Operation::write(const std::string& name, const std::string& sql) {
  const std::string path = folder_ + "/" + name + ".sql";
  std::ofstream(path) << sql;
  return path;
}

Program Operation::start(const std::string& name, const std::string& sql,
                         const Texts& options, const Texts& environment) {
  Texts arguments{"run",         "--dsn",
                  dsn(),         write(name, sql),
                  "--state-dir", folder_ + "/state",
                  "--yes",       "--progress",
                  "none",        "--log-level",
                  "debug"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  return Program(arguments, environment);
}

void Operation::migrate(const std::string& name, const std::string& sql,
                        const Texts& options) {
  Program run = start(name, sql, options);
  ASSERT_EQ(run.wait(), 0) << run.output();
}

int Operation::plan(const std::string& name, const std::string& sql,
                    std::string* output) {
  Program plan({"plan", "--dsn", dsn(), write(name, sql)});
  const int code = plan.wait();
  *output = plan.output();
  return code;
}

void Operation::command(const std::string& verb, const std::string& name) {
  Program program({verb, "--dsn", dsn(), name});
  ASSERT_EQ(program.wait(), 0) << program.output();
}

}  // namespace pgrecast::test
