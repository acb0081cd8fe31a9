#include "scenarios/rules/story.h"

#include <cstdlib>
#include <fstream>

namespace pgrecast::test {

Held::Held(Session& owner) : owner_(owner) {
  owner_.exec(fmt::format(
      "CREATE OR REPLACE FUNCTION public.held(v bigint) RETURNS bigint "
      "IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN IF v = {} AND"
      " pg_catalog.current_setting('application_name') NOT LIKE '%control' THEN"
      " PERFORM pg_catalog.pg_advisory_xact_lock(4711);"
      " END IF; RETURN v; END $$",
      kValue));
}

std::string Held::script() {
  return "ALTER TABLE t ALTER COLUMN v TYPE bigint USING "
         "public.held(v::bigint);";
}

void Held::hold() {
  owner_.exec("SELECT pg_advisory_lock(4711)");
}

void Held::release() {
  owner_.exec("SELECT pg_advisory_unlock(4711)");
}

int Held::count() {
  return std::stoi(owner_.query_value(
      "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND "
      "objid = 4711 AND NOT granted"));
}

void Held::wait_until_held(int sessions) {
  const bool held = eventually([&] { return count() >= sessions; });
  if (!held) throw std::runtime_error("no statement came to be held");
}

Migration::Migration(Database& database, const std::string& script)
    : database_(database) {
  std::string folder = "/tmp/pgrecast-story-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    throw std::runtime_error("cannot make a folder in /tmp");
  }
  folder_ = folder;
  std::ofstream(folder_ / "story.sql") << script;
}

Migration::~Migration() {
  // One of them refuses: it is for the other side of the exchange.
  for (const char* undo : {"abort", "finish"}) {
    Program({undo, "--dsn", database_.dsn(), "--state-dir", folder_ / "state",
             "story"})
        .wait();
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

Program Migration::run(const std::vector<std::string>& arguments,
                       const std::string& rule_off,
                       const std::string& environment) {
  Program::Texts all{
      "run",         "--dsn",           database_.dsn(), folder_ / "story.sql",
      "--state-dir", folder_ / "state", "--yes",         "--progress",
      "none"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  Program::Texts variables{"PGRECAST_RULE_OFF=" + rule_off};
  if (!environment.empty()) variables.push_back(environment);
  return Program(all, variables);
}

int Migration::command(const std::string& name) {
  return Program({name, "--dsn", database_.dsn(), "story"}).wait();
}

long differing_rows(Session& session, const std::string& left,
                    const std::string& right) {
  return std::stol(session.query_value(fmt::format(
      "WITH l AS (SELECT l::text FROM ({}) l), r AS (SELECT r::text FROM ({}) "
      "r) SELECT count(*) FROM ((TABLE l EXCEPT ALL TABLE r) UNION ALL (TABLE "
      "r EXCEPT ALL TABLE l)) AS d",
      left, right)));
}

}  // namespace pgrecast::test
