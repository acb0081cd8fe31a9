#include "scenarios/twin/workload.h"

#include "scenarios/twin/disturbance.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

namespace pgrecast::test {
namespace {

constexpr const char* kUniqueViolation = "23505";

// Advisory locks: the first number says of what, the second which.
constexpr int kLockOfAll = 7716;
constexpr int kLockOfKey = 7717;
constexpr int kLockOfU = 7718;

// Keys that stand in for a moment while two rows exchange theirs.
constexpr int kFirstSpareId = kFirstPrivateId + 1'000;

constexpr std::size_t kComplaintsMax = 10;
constexpr int kTruncates = 2;
// A server that starts refuses sessions for a while.
constexpr milliseconds kReconnectPause{50};
constexpr milliseconds kLookAgain{20};

struct ResultCloser {
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ResultCloser>;

// The connection is gone, and with it the transaction (or its outcome).
class LostConnection : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// An error that the workload does not provoke. The transaction is given up.
class GiveUp : public std::runtime_error {
 public:
  GiveUp(std::string sqlstate, const std::string& message)
      : std::runtime_error(message), sqlstate_(std::move(sqlstate)) {}
  const std::string& sqlstate() const { return sqlstate_; }

 private:
  std::string sqlstate_;
};

// What a statement did.
struct Outcome {
  std::string sqlstate = kSuccess;
  std::string rows;   // affected, as the server says it
  std::string value;  // of the first column of the first row, if any
  std::string message;

  bool ok() const { return sqlstate == kSuccess; }
  bool same_as(const Outcome& other) const {
    return sqlstate == other.sqlstate && rows == other.rows;
  }
};

Outcome outcome_of(PGconn* conn, const Result& result) {
  Outcome outcome;
  outcome.rows = PQcmdTuples(result.get());
  const ExecStatusType status = PQresultStatus(result.get());
  if (status == PGRES_TUPLES_OK) {
    if (PQntuples(result.get()) > 0 && PQgetisnull(result.get(), 0, 0) == 0) {
      outcome.value = PQgetvalue(result.get(), 0, 0);
    }
  } else if (status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY) {
    const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
    if (state == nullptr) throw LostConnection(PQerrorMessage(conn));
    outcome.sqlstate = state;
    outcome.message = PQresultErrorMessage(result.get());
  }
  return outcome;
}

// Runs the statements of one text; the last outcome is that of the first one
// that failed. Throws LostConnection.
std::vector<Outcome> run(PGconn* conn, const std::string& sql) {
  if (PQsendQuery(conn, sql.c_str()) != 1) {
    throw LostConnection(PQerrorMessage(conn));
  }
  std::vector<Outcome> outcomes;
  while (const Result result{PQgetResult(conn)}) {
    outcomes.push_back(outcome_of(conn, result));
  }
  if (PQstatus(conn) != CONNECTION_OK) {
    throw LostConnection(PQerrorMessage(conn));
  }
  return outcomes;
}

std::string list(const std::set<int>& numbers) {
  return fmt::format("'{{{}}}'::int[]", fmt::join(numbers, ","));
}

std::string all_on(const std::vector<Statement>& statements,
                   const std::string& table) {
  std::string sql;
  for (const Statement& statement : statements) {
    sql += statement.on(table) + ";\n";
  }
  return sql;
}

bool same(const std::vector<Outcome>& left, const std::vector<Outcome>& right) {
  return std::equal(
      left.begin(), left.end(), right.begin(), right.end(),
      [](const Outcome& a, const Outcome& b) { return a.same_as(b); });
}

std::string text(const std::vector<Outcome>& outcomes) {
  std::string text;
  for (const Outcome& outcome : outcomes) {
    text += fmt::format(" [{} {}]", outcome.sqlstate, outcome.rows);
  }
  return text;
}

}  // namespace

std::string LoadStatistics::text() const {
  std::string text = fmt::format(
      "{} commits ({} in the new shape), {} rollbacks, {} unique violations, "
      "{} connections lost, {} divergences, {} prepared, {} truncates",
      commits, commits_in_new_shape, rollbacks, unique_violations,
      connections_lost, divergences, prepared, truncates);
  for (const auto& [sqlstate, count] : errors) {
    text += fmt::format(", {} x {}", count, sqlstate);
  }
  text += "; longest transactions (ms):";
  for (const milliseconds latency : latency_max) {
    text += fmt::format(" {}", latency.count());
  }
  for (const std::string& complaint : complaints) text += "\n  " + complaint;
  return text;
}

// One writer: its session, its random choices. Lives on its thread.
class TwinWriter {
 public:
  enum class Kind { kOrdinary, kLong, kLarge, kTruncate };

  TwinWriter(TwinLoad& load, Kind kind, int index)
      : load_(load),
        schema_(load.schema_),
        options_(load.options_),
        kind_(kind),
        index_(index),
        random_(options_.seed * 1'000 + static_cast<std::uint64_t>(index)) {}

  void run_until(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      try {
        if (!session_) connect();
        one_transaction(stop);
      } catch (const LostConnection& lost) {
        session_.reset();
        if (stop.stop_requested()) return;
        note_lost_connection(lost.what());
        pause(stop, kReconnectPause);
      } catch (const GiveUp& reason) {
        note_error(reason);
        session_.reset();  // rolls back, whatever state it is in
      }
      if (kind_ == Kind::kLarge &&
          ++large_done_ == options_.large_transactions) {
        return;
      }
      if (kind_ == Kind::kTruncate && truncated_ == kTruncates) return;
    }
  }

 private:
  struct Step {
    std::vector<Statement> statements;
    bool rolled_back = false;  // done to the table alone, in a savepoint
  };

  PGconn* conn() { return session_->native(); }

  void connect() {
    try {
      session_.emplace(load_.dsn_);
    } catch (const SqlFailure& failure) {
      throw LostConnection(failure.what());
    }
    // A writer that hangs is a finding, not a test that never ends.
    run(conn(), "SET statement_timeout = '60s'");
    if (options_.prepared_transactions) finish_prepared();
  }

  std::string gid() const { return fmt::format("twin writer {}", index_); }

  // The connection may have been lost with a transaction prepared: whatever it
  // did, it did to both tables.
  void finish_prepared() {
    const std::vector<Outcome> left =
        run(conn(),
            fmt::format("SELECT gid FROM pg_prepared_xacts WHERE gid = '{}'",
                        gid()));
    if (left.back().value.empty()) return;
    expect_ok(run(conn(), fmt::format("COMMIT PREPARED '{}'", gid())));
  }

  void one_transaction(const std::stop_token& stop) {
    switch (kind_) {
      case Kind::kOrdinary:
        ordinary(stop);
        break;
      case Kind::kLong:
        long_one(stop);
        break;
      case Kind::kLarge:
        large(stop);
        break;
      case Kind::kTruncate:
        truncate(stop);
        break;
    }
  }

  // ---- transactions

  void ordinary(const std::stop_token& stop) {
    if (options_.think_time_max.count() > 0) {
      pause(stop, milliseconds(random_.below(
                      static_cast<int>(options_.think_time_max.count()))));
    }
    begin(random_.between(1, 4), 0, options_.ids);
    const auto steps = random_.between(1, 4);
    for (int i = 0; i < steps; ++i) perform(random_step());
    end(/*commit=*/!random_.chance(5));
  }

  void long_one(const std::stop_token& stop) {
    const milliseconds time(random_.between(500, 3'000));
    if (random_.chance(50) && !first_) {
      // An old transaction that gets its xid late.
      began_ = Clock::now();
      expect_ok(run(conn(), "BEGIN; " + schema_.u_query(kFirstPrivateId)));
      pause(stop, time);
      lock_rows("", 4, kFirstPrivateId, kPrivateIdCount);
      for (int i = 0; i < 4; ++i) perform(random_step());
    } else {
      begin(4, kFirstPrivateId, kPrivateIdCount);
      for (int i = 0; i < 2; ++i) perform(random_step());
      pause(stop, time);
      for (int i = 0; i < 2; ++i) perform(random_step());
    }
    first_ = false;
    end(true);
    // Cutover needs a moment without any of these.
    pause(stop, milliseconds(random_.between(1'000, 3'000)));
  }

  void large(const std::stop_token& stop) {
    pause(stop, milliseconds(random_.between(300, 1'500)));
    while (options_.large_when_told && !load_.large_begun_ &&
           !stop.stop_requested()) {
      pause(stop, kLookAgain);
    }
    if (stop.stop_requested()) return;
    begin_alone("ROW EXCLUSIVE");
    perform({.statements = {schema_.add_to_group(1)}});
    end(true);
  }

  void truncate(const std::stop_token& stop) {
    pause(stop, milliseconds(random_.between(100, 600)));
    while (truncated_ > 0 && !load_.truncate_told_ && !stop.stop_requested()) {
      pause(stop, kLookAgain);
    }
    if (stop.stop_requested()) return;
    begin_alone("ACCESS EXCLUSIVE");
    expect_ok(run(
        conn(), fmt::format("TRUNCATE {}, {}", schema_.table(),
                            new_shape_ ? schema_.new_twin() : schema_.twin())));
    end(true);
    ++truncated_;
  }

  // While no ordinary transaction runs.
  void begin_alone(std::string_view lock) {
    began_ = Clock::now();
    expect_ok(run(conn(), fmt::format("BEGIN; SELECT pg_advisory_xact_lock({}, "
                                      "0)",
                                      kLockOfAll)));
    find_shape(
        fmt::format("LOCK TABLE {} IN {} MODE; ", schema_.table(), lock));
  }

  // Chooses `count` ids, and locks them and whatever unique values go with
  // them. What it reads of the table, or the lock it takes, holds the table's
  // shape until the transaction ends.
  void begin(int count, int first_id, int id_count) {
    began_ = Clock::now();
    lock_rows("BEGIN;\n", count, first_id, id_count);
  }

  void lock_rows(std::string sql, int count, int first_id, int id_count) {
    std::set<int> ids;
    while (static_cast<int>(ids.size()) < count) {
      ids.insert(first_id + random_.below(id_count));
    }
    ids_.assign(ids.begin(), ids.end());
    random_.shuffle(ids_);
    std::set<int> fresh{first_id + random_.below(id_count),
                        first_id + random_.below(id_count)};
    free_us_.assign(fresh.begin(), fresh.end());

    if (kind_ == Kind::kOrdinary) {
      sql += fmt::format("SELECT pg_advisory_xact_lock_shared({}, 0);\n",
                         kLockOfAll);
    }
    sql += fmt::format(
        "SELECT pg_advisory_xact_lock({}, id) FROM unnest({}) AS id;\n",
        kLockOfKey, list(ids));
    sql += first_touch();
    std::string values =
        fmt::format("SELECT u FROM unnest({}) AS u", list(fresh));
    for (const int id : ids_) values += " UNION " + schema_.u_query(id);
    sql += fmt::format(
        "SELECT pg_advisory_xact_lock({}, u) FROM ({} ORDER BY 1) AS locked(u) "
        "WHERE u IS NOT NULL;\n",
        kLockOfU, values);
    for (const int id : ids_) sql += schema_.u_query(id) + ";\n";
    const std::vector<Outcome> outcomes = find_shape(sql);

    // The last outcome is the shape's; before it, one for each id.
    us_.clear();
    const std::size_t first = outcomes.size() - 1 - ids_.size();
    for (std::size_t i = 0; i < ids_.size(); ++i) {
      const std::string& value = outcomes[first + i].value;
      us_.push_back(value.empty() ? std::nullopt
                                  : std::optional(std::stoi(value)));
    }
  }

  // How the transaction meets the table first. It changes no row: whoever wants
  // a unique value of a changed row waits for it, and may hold the lock for
  // that value.
  std::string first_touch() {
    switch (random_.below(3)) {
      case 0:
        return "";  // a SELECT, further down
      case 1:
        return "LOCK TABLE " + schema_.table() + " IN ROW EXCLUSIVE MODE;\n";
      default:
        return schema_.u_query(ids_.front()) + " FOR UPDATE;\n";
    }
  }

  // Runs `sql`, which touches the table, and asks for the table's shape.
  std::vector<Outcome> find_shape(const std::string& sql) {
    std::vector<Outcome> outcomes =
        run(conn(), sql + schema_.new_shape_query());
    expect_ok(outcomes);
    new_shape_ = outcomes.back().value == "t";
    if (new_shape_) {
      fill_new_twin();
    } else if (load_.new_shape_.filled) {
      throw GiveUp("old shape", "the table has its old shape again");
    }
    return outcomes;
  }

  // Once, on a session of its own, while this one goes on holding the table and
  // the other writers wait.
  void fill_new_twin() {
    if (load_.new_shape_.filled) return;
    const std::lock_guard lock(load_.new_shape_.mutex);
    if (!load_.new_shape_.filled) {
      try {
        // After a lost connection it may be there already.
        Session(load_.dsn_)
            .exec(fmt::format("INSERT INTO {0} SELECT * FROM ({1}) AS expected "
                              "WHERE NOT EXISTS (SELECT FROM {0})",
                              schema_.new_twin(), schema_.expected_select()));
      } catch (const SqlFailure& failure) {
        if (failure.sqlstate().empty()) throw LostConnection(failure.what());
        throw GiveUp(failure.sqlstate(), failure.what());
      }
      load_.new_shape_.filled = true;
    }
    began_ = Clock::now();  // that was not the table's doing
  }

  void end(bool commit) {
    std::string end = commit ? "COMMIT" : "ROLLBACK";
    const bool prepared = options_.prepared_transactions && random_.chance(20);
    if (prepared) {
      expect_ok(run(conn(), fmt::format("PREPARE TRANSACTION '{}'", gid())));
      pause({}, milliseconds(random_.below(40)));
      end += fmt::format(" PREPARED '{}'", gid());
    }
    expect_ok(run(conn(), end));
    const auto latency =
        std::chrono::duration_cast<milliseconds>(Clock::now() - began_);
    const std::lock_guard lock(load_.statistics_mutex_);
    LoadStatistics& statistics = load_.statistics_;
    (commit ? statistics.commits : statistics.rollbacks) += 1;
    if (commit && new_shape_) ++statistics.commits_in_new_shape;
    if (commit && kind_ == Kind::kLarge) ++statistics.large_commits;
    if (commit && kind_ == Kind::kTruncate) ++statistics.truncates;
    if (prepared) ++statistics.prepared;
    milliseconds& longest =
        statistics.latency_max[static_cast<std::size_t>(index_)];
    longest = std::max(longest, latency);
    load_.statistics_changed_.notify_all();
  }

  // ---- what is done in them

  // One of the ids that are locked, and the unique value of its row when the
  // transaction began.
  struct Chosen {
    int id = 0;
    std::optional<int> u;
  };

  Chosen choose() {
    const auto i =
        static_cast<std::size_t>(random_.below(static_cast<int>(ids_.size())));
    return {.id = ids_[i], .u = us_[i]};
  }

  std::optional<int> some_u() {
    if (random_.chance(10)) return std::nullopt;
    if (random_.chance(30)) return choose().u;
    return random_.pick(free_us_);
  }

  Step random_step() {
    Step step = random_change();
    step.rolled_back = random_.chance(8);
    return step;
  }

  Step random_change() {
    const Chosen one = choose();
    const Chosen other = choose();
    const int dice = random_.below(100);
    if (dice < 3) return {{schema_.touch(one.id)}};
    if (dice < 30) return {{schema_.set_values(random_, one.id)}};
    if (dice < 36) return {{schema_.set_document(random_, one.id)}};
    if (dice < 40) return {{schema_.set_nulls(random_, one.id)}};
    if (dice < 54) return {{schema_.insert(random_, one.id, some_u())}};
    if (dice < 63) return {{schema_.remove(one.id)}};
    if (dice < 69) {  // deleted, and there again
      return {{schema_.remove(one.id),
               schema_.insert(random_, one.id,
                              random_.chance(50) ? one.u : some_u())}};
    }
    if (dice < 78) {  // where one.id == other.id, another form of one key
      return {{schema_.change_key(random_, one.id, other.id)}};
    }
    if (dice < 84) {  // two rows exchange their keys
      const int spare = kFirstSpareId + index_;
      return {{schema_.change_key(random_, one.id, spare),
               schema_.change_key(random_, other.id, one.id),
               schema_.change_key(random_, spare, other.id)}};
    }
    if (dice < 93) {  // a unique value goes from one row to the other
      return {{schema_.set_u(one.id, std::nullopt),
               schema_.set_u(other.id, one.u)}};
    }
    if (dice < 97) {  // two rows exchange their unique values
      return {{schema_.set_u(one.id, std::nullopt),
               schema_.set_u(other.id, one.u), schema_.set_u(one.id, other.u)}};
    }
    return {{schema_.set_u(one.id, some_u())}};
  }

  // On the table, then on its twin, each in a savepoint. Either both succeed,
  // with the same numbers of rows, or both meet the same unique violation and
  // are undone.
  void perform(const Step& step) {
    const std::vector<Outcome> on_table = in_savepoint(
        all_on(step.statements, schema_.table()), step.rolled_back);
    if (step.rolled_back) return;
    const std::string& twin = new_shape_ ? schema_.new_twin() : schema_.twin();
    const std::vector<Outcome> on_twin =
        in_savepoint(all_on(step.statements, twin), false);
    if (!same(on_table, on_twin)) {
      note_divergence(step,
                      text(on_table) + " and on its twin" + text(on_twin));
    }
  }

  std::vector<Outcome> in_savepoint(const std::string& sql, bool roll_back) {
    std::vector<Outcome> outcomes = run(conn(), "SAVEPOINT s;\n" + sql);
    const Outcome& last = outcomes.back();
    if (!last.ok()) {
      if (last.sqlstate != kUniqueViolation) {
        throw GiveUp(last.sqlstate, last.message);
      }
      const std::lock_guard lock(load_.statistics_mutex_);
      ++load_.statistics_.unique_violations;
    }
    if (!last.ok() || roll_back) {
      expect_ok(run(conn(), "ROLLBACK TO SAVEPOINT s"));
    } else if (random_.chance(50)) {
      expect_ok(run(conn(), "RELEASE SAVEPOINT s"));
    }
    return outcomes;
  }

  static void expect_ok(const std::vector<Outcome>& outcomes) {
    if (outcomes.empty()) return;
    if (!outcomes.back().ok()) {
      throw GiveUp(outcomes.back().sqlstate, outcomes.back().message);
    }
  }

  // ---- what is told of it

  void complain(const std::string& what) {
    if (load_.statistics_.complaints.size() < kComplaintsMax) {
      load_.statistics_.complaints.push_back(
          fmt::format("writer {}: {}", index_, what));
    }
  }

  void note_error(const GiveUp& reason) {
    const std::lock_guard lock(load_.statistics_mutex_);
    ++load_.statistics_.errors[reason.sqlstate()];
    complain(reason.sqlstate() + " " + reason.what());
  }

  void note_divergence(const Step& step, const std::string& what) {
    const std::lock_guard lock(load_.statistics_mutex_);
    ++load_.statistics_.divergences;
    complain(fmt::format(
        "{}  gave on the table{}",
        all_on(step.statements, new_shape_ ? "new shape" : "old shape"), what));
  }

  void note_lost_connection(const std::string& message) {
    const std::lock_guard lock(load_.statistics_mutex_);
    ++load_.statistics_.connections_lost;
    if (options_.server_restarts) return;
    ++load_.statistics_.errors["connection"];
    complain(message);
  }

  TwinLoad& load_;
  const TwinSchema& schema_;
  const LoadOptions& options_;
  const Kind kind_;
  const int index_;
  Random random_;
  std::optional<Session> session_;
  bool first_ = true;
  int large_done_ = 0;
  int truncated_ = 0;

  // Of the transaction that is open.
  Clock::time_point began_;
  bool new_shape_ = false;
  std::vector<int> ids_;
  std::vector<std::optional<int>> us_;  // beside ids_
  std::vector<int> free_us_;
};

// ---- TwinLoad ---------------------------------------------------------------

TwinLoad::TwinLoad(std::string dsn, const TwinSchema& schema,
                   const LoadOptions& options)
    : dsn_(std::move(dsn)), schema_(schema), options_(options) {
  std::vector<TwinWriter::Kind> kinds(static_cast<std::size_t>(options.writers),
                                      TwinWriter::Kind::kOrdinary);
  if (options.long_transactions) kinds.push_back(TwinWriter::Kind::kLong);
  if (options.large_transactions > 0) kinds.push_back(TwinWriter::Kind::kLarge);
  if (options.truncates) kinds.push_back(TwinWriter::Kind::kTruncate);
  statistics_.latency_max.resize(kinds.size());
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    threads_.emplace_back([this, kind = kinds[i], index = static_cast<int>(i)](
                              const std::stop_token& stop) {
      try {
        TwinWriter(*this, kind, index).run_until(stop);
      } catch (const std::exception& error) {
        const std::lock_guard lock(statistics_mutex_);
        ++statistics_.errors["writer ended"];
        statistics_.complaints.emplace_back(error.what());
      }
    });
  }
}

TwinLoad::~TwinLoad() {
  stop();
}

LoadStatistics TwinLoad::stop() {
  for (std::jthread& thread : threads_) thread.request_stop();
  for (std::jthread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  return statistics();
}

LoadStatistics TwinLoad::statistics() const {
  const std::lock_guard lock(statistics_mutex_);
  return statistics_;
}

bool TwinLoad::wait_for_commits(long count, Deadline deadline) const {
  std::unique_lock lock(statistics_mutex_);
  const long enough = statistics_.commits + count;
  return statistics_changed_.wait_until(
      lock, deadline.at(), [&] { return statistics_.commits >= enough; });
}

bool TwinLoad::run_large(Deadline deadline) {
  large_begun_ = true;
  std::unique_lock lock(statistics_mutex_);
  return statistics_changed_.wait_until(lock, deadline.at(), [&] {
    return statistics_.large_commits >= options_.large_transactions;
  });
}

bool TwinLoad::truncate(Deadline deadline) {
  truncate_told_ = true;
  std::unique_lock lock(statistics_mutex_);
  return statistics_changed_.wait_until(
      lock, deadline.at(), [&] { return statistics_.truncates >= kTruncates; });
}

bool TwinLoad::wait_for_commits_in_new_shape(long count,
                                             Deadline deadline) const {
  std::unique_lock lock(statistics_mutex_);
  const long enough = statistics_.commits_in_new_shape + count;
  return statistics_changed_.wait_until(lock, deadline.at(), [&] {
    return statistics_.commits_in_new_shape >= enough;
  });
}

}  // namespace pgrecast::test
