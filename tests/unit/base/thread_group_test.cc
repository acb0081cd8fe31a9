#include "pgrecast/base/thread_group.h"

#include "pgrecast/base/error.h"

#include <gtest/gtest.h>

#include <exception>
#include <stdexcept>
#include <string>

namespace pgrecast {
namespace {

std::string first_error(ThreadGroup& group) {
  try {
    group.join();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(ThreadGroupTest, AnErrorStopsTheOthers) {
  ThreadGroup group{std::stop_token()};
  group.run([](const std::stop_token& stop) {
    while (!stop.stop_requested()) std::this_thread::yield();
    throw Stopped();
  });
  group.run([](const std::stop_token&) { throw std::runtime_error("first"); });

  EXPECT_EQ(first_error(group), "first");
}

// Who drops what others stand on knows why they fail.
TEST(ThreadGroupTest, WhatWasNotedIsTheCauseOfWhatOthersThrow) {
  ThreadGroup group{std::stop_token()};

  group.note(std::make_exception_ptr(std::runtime_error("cause")));
  EXPECT_FALSE(group.stop_token().stop_requested());
  group.run([](const std::stop_token&) {
    throw std::runtime_error("what came of it");
  });

  EXPECT_EQ(first_error(group), "cause");
}

TEST(ThreadGroupTest, WhatIsNotedAfterAnErrorIsNotItsCause) {
  ThreadGroup group{std::stop_token()};
  group.run([](const std::stop_token&) { throw std::runtime_error("first"); });
  while (group.error() == nullptr) std::this_thread::yield();

  group.note(std::make_exception_ptr(std::runtime_error("later")));

  EXPECT_EQ(first_error(group), "first");
}

}  // namespace
}  // namespace pgrecast
