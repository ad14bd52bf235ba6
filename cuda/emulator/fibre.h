// A thread of control with a stack of its own that runs until it gives way.
#pragma once

#include <stddef.h>

namespace polka::cuda::emulator {

class Fibre {
 public:
  using Body = void (*)(void* argument);

  // Prepares body(argument) to run on stack number `slot` of the process-wide pool.
  void Start(int slot, Body body, void* argument);
  // Runs the fibre until it gives way or its body returns.
  void Resume();
  // Called on the fibre: back to whoever resumed it.
  void GiveWay();

 private:
  static void Enter(Fibre* self);

  void* inside_ = nullptr;   // stack pointer of the fibre while it waits
  void* outside_ = nullptr;  // of its resumer while it runs
  Body body_ = nullptr;
  void* argument_ = nullptr;
  void* stack_ = nullptr;
  void* fake_inside_ = nullptr;  // of the address sanitizer
  const void* outside_stack_ = nullptr;
  size_t outside_size_ = 0;
};

}  // namespace polka::cuda::emulator
