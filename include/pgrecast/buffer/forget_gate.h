#pragma once

#include <condition_variable>
#include <mutex>

namespace pgrecast {

// Verification and forgetting exclude each other: what differs in a snapshot
// must be a key that was dirty at some time since, so nothing may be forgotten
// while a range is being verified.
//
// Several ranges may be verified at once; a waiting forget() goes before ranges
// that have not begun, so that neither starves. Thread-safe.
class ForgetGate {
 public:
  // Held while a range is verified, from before its snapshot until the last
  // look into the change buffer.
  class Verifying {
   public:
    explicit Verifying(ForgetGate& gate);
    Verifying(const Verifying&) = delete;
    Verifying& operator=(const Verifying&) = delete;
    ~Verifying();

   private:
    ForgetGate* gate_;
  };

  // Held while keys are forgotten.
  class Forgetting {
   public:
    explicit Forgetting(ForgetGate& gate);
    Forgetting(const Forgetting&) = delete;
    Forgetting& operator=(const Forgetting&) = delete;
    ~Forgetting();

   private:
    ForgetGate* gate_;
  };

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int verifying_ = 0;
  int forgetting_ = 0;  // waiting or at it
};

}  // namespace pgrecast
