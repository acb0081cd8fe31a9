#pragma once

#include "support/pg_cluster.h"

#include <gtest/gtest.h>

#include <string>

namespace pgrecast::test {

// A database of its own for one test, owned by an ordinary role of its own:
// LOGIN and REPLICATION, pg_monitor to see what others do, and no superuser,
// which is what pgrecast asks of an operator's role. Schema public is its too.
//
// drop() (or the destructor) fails the running test if a replication slot of
// the database is left, then removes everything: slots, sessions, prepared
// transactions, database, role.
class Database {
 public:
  // `encoding`: the server's own name of it, where it is not to be UTF8.
  explicit Database(PgCluster& cluster, const std::string& encoding = "UTF8");
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  PgCluster& cluster() const { return cluster_; }
  const std::string& name() const { return name_; }
  const std::string& role() const { return role_; }
  // As the ordinary role, which is how pgrecast connects.
  std::string dsn() const { return cluster_.dsn(name_, role_); }
  std::string superuser_dsn() const { return cluster_.dsn(name_); }
  Session session() const { return Session(dsn()); }
  Session superuser_session() const { return Session(superuser_dsn()); }

  void drop();

 private:
  PgCluster& cluster_;
  std::string name_;
  std::string role_;
  bool dropped_ = false;
};

// The base of tests that need a database: one each, on the shared cluster.
class TestDatabase : public ::testing::Test {
 protected:
  PgCluster& cluster() { return database_.cluster(); }
  Database& database() { return database_; }
  std::string dsn() const { return database_.dsn(); }
  std::string superuser_dsn() const { return database_.superuser_dsn(); }
  // A new session of the ordinary role.
  Session session() const { return database_.session(); }
  Session superuser_session() const { return database_.superuser_session(); }

 private:
  Database database_{SharedCluster::get()};
};

}  // namespace pgrecast::test
