#include "pgrecast/buffer/forget_gate.h"

#include "pgrecast/base/sync_point.h"

namespace pgrecast {

ForgetGate::Verifying::Verifying(ForgetGate& gate) : gate_(&gate) {
  std::unique_lock lock(gate.mutex_);
  if (rule_on("gate")) {
    gate.changed_.wait(lock, [&] { return gate.forgetting_ == 0; });
  }
  ++gate.verifying_;
}

ForgetGate::Verifying::~Verifying() {
  const std::lock_guard lock(gate_->mutex_);
  --gate_->verifying_;
  gate_->changed_.notify_all();
}

ForgetGate::Forgetting::Forgetting(ForgetGate& gate) : gate_(&gate) {
  std::unique_lock lock(gate.mutex_);
  ++gate.forgetting_;
  if (rule_on("gate")) {
    gate.changed_.wait(lock, [&] { return gate.verifying_ == 0; });
  }
}

ForgetGate::Forgetting::~Forgetting() {
  const std::lock_guard lock(gate_->mutex_);
  --gate_->forgetting_;
  gate_->changed_.notify_all();
}

}  // namespace pgrecast
