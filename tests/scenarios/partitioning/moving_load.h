#pragma once

#include "support/session.h"

#include <atomic>
#include <random>
#include <string>
#include <thread>

namespace pgrecast::test {

// The same changes to table `orders` and to `orders_twin`: rows move from
// partition to partition, to the bounds and back, while their keys move as
// well. Both have the columns id, customer, code, amount and placed.
class MovingLoad {
 public:
  enum class Through {
    kTheTable,
    // Some are made through the name of leaf orders_2024.
    kLeavesToo,
  };

  explicit MovingLoad(const std::string& dsn,
                      Through through = Through::kTheTable);
  MovingLoad(const MovingLoad&) = delete;
  MovingLoad& operator=(const MovingLoad&) = delete;
  ~MovingLoad() = default;

  // Waits until it has done as many more transactions. Returns false in vain.
  bool goes_on(int transactions) const;
  // Ends it. Returns when its last transaction is over.
  void stop();
  // The SQLSTATE of each that failed. To be asked after stop().
  std::string failures() const { return failures_; }

 private:
  void work(const std::string& dsn, const std::stop_token& stop);
  std::string statement(std::mt19937& random);

  Through through_;
  int next_id_ = 1000000;
  std::atomic<int> transactions_{0};
  std::string failures_;
  std::jthread thread_;
};

// Rows of `orders` and of `orders_twin` that the other does not have.
Rows differences_from_twin(Session& session);

}  // namespace pgrecast::test
