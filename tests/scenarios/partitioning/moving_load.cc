#include "scenarios/partitioning/moving_load.h"

#include "support/eventually.h"

#include <fmt/format.h>

#include <array>

namespace pgrecast::test {

MovingLoad::MovingLoad(const std::string& dsn, Through through)
    : through_(through),
      thread_([this, dsn](const std::stop_token& stop) { work(dsn, stop); }) {}

bool MovingLoad::goes_on(int transactions) const {
  return eventually([&, until = transactions_ + transactions] {
    return transactions_ > until;
  });
}

void MovingLoad::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void MovingLoad::work(const std::string& dsn, const std::stop_token& stop) {
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same for every run
  Session session(dsn);
  while (!stop.stop_requested()) {
    const std::string sqlstate = session.try_exec(statement(random));
    if (sqlstate == kSuccess) {
      ++transactions_;
    } else {
      failures_ += sqlstate + " ";
    }
    std::this_thread::sleep_for(milliseconds(1));
  }
}

// Of several statements, which make one transaction.
std::string MovingLoad::statement(std::mt19937& random) {
  static constexpr std::array kDays = {"2023-12-31 23:59:59.999999",
                                       "2024-01-01",
                                       "2024-12-31 23:59:59.999999",
                                       "2025-01-01",
                                       "2025-07-07",
                                       "2026-01-01",
                                       "2031-01-01"};
  const auto id = static_cast<int>(random() % 12000) + 1;
  const char* day = kDays.at(random() % kDays.size());
  const int fresh = next_id_++;
  const auto what = random() % 7;
  std::string both;
  for (const std::string table : {"orders", "orders_twin"}) {
    switch (what) {
      case 0:
        both += fmt::format(
            "INSERT INTO {} (id, customer, code, amount, placed) VALUES ({}, "
            "{}, 'n{}', 5, '{}');",
            table, fresh, fresh % 10, fresh, day);
        break;
      case 1:
        both += fmt::format("DELETE FROM {} WHERE id = {};", table, id);
        break;
      case 2:  // the key moves, and the row to another partition
        both +=
            fmt::format("UPDATE {} SET id = {}, placed = '{}' WHERE id = {};",
                        table, fresh, day, id);
        break;
      case 3:
        both += fmt::format("UPDATE {} SET amount = amount + 1 WHERE id = {};",
                            table, id);
        break;
      case 4:  // there and back again in one transaction
        both += fmt::format(
            "UPDATE {0} SET placed = '2023-03-03' WHERE id = {1};"
            "UPDATE {0} SET placed = '{2}' WHERE id = {1};",
            table, id, day);
        break;
      case 5:
        both += fmt::format(
            "UPDATE {} SET amount = -3 WHERE id = {} AND placed >= "
            "'2024-01-01' AND placed < '2025-01-01';",
            through_ == Through::kLeavesToo && table == "orders" ? "orders_2024"
                                                                 : table,
            id);
        break;
      default:
        both += fmt::format("UPDATE {} SET placed = '{}' WHERE id = {};", table,
                            day, id);
    }
  }
  return both;
}

Rows differences_from_twin(Session& session) {
  return session.query_rows(R"sql(
WITH expected AS (
  SELECT id::bigint, customer, code::text, amount, placed FROM orders_twin),
present AS (SELECT id, customer, code, amount, placed FROM orders)
(SELECT 'missing', * FROM (TABLE expected EXCEPT ALL TABLE present) AS m)
UNION ALL
(SELECT 'too much', * FROM (TABLE present EXCEPT ALL TABLE expected) AS t)
LIMIT 10)sql");
}

}  // namespace pgrecast::test
