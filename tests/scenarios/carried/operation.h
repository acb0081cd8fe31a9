#pragma once

#include "support/program.h"
#include "support/test_database.h"

#include <string>

namespace pgrecast::test {

// A database, and an operator who runs scripts on it with the real pgrecast.
class Operation : public TestDatabase {
 protected:
  using Texts = Program::Texts;

  Operation();
  ~Operation() override;

  // Starts `pgrecast run` of a script, which is called NAME.sql.
  Program start(const std::string& name, const std::string& sql,
                const Texts& options = {}, const Texts& environment = {});
  // The same to its end, which must be a success.
  void migrate(const std::string& name, const std::string& sql,
               const Texts& options = {});
  // `pgrecast plan` of a script: its exit code, and what it says.
  int plan(const std::string& name, const std::string& sql,
           std::string* output);
  // Another command to its end, which must be a success.
  void command(const std::string& verb, const std::string& name);

 private:
  std::string write(const std::string& name, const std::string& sql);

  std::string folder_;  // of the scripts and of pgrecast's state
};

}  // namespace pgrecast::test
