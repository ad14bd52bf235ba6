// Stacks are switched by hand: ucontext makes a system call each time, and a test switches tens of
// millions of times.
#include "fibre.h"

#include <initializer_list>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__)
#error "the emulator switches stacks on x86-64 only"
#endif

// void polka_switch_stack(void** save, void* load): keeps the registers that a callee must keep.
asm(R"(
.text
.type polka_switch_stack, @function
polka_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size polka_switch_stack, .-polka_switch_stack
)");
extern "C" void polka_switch_stack(void** save, void* load);

namespace polka::cuda::emulator {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = 512 * 1024;
#else
constexpr size_t kStackBytes = 64 * 1024;
#endif
constexpr int kStacks = 8 * 1024;

// Untouched pages cost nothing.
char* Stacks() {
  static char* const stacks = [] {
    void* p = mmap(nullptr, kStackBytes * kStacks, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED) {
      perror("emulator: no memory for stacks");
      abort();
    }
    return static_cast<char*>(p);
  }();
  return stacks;
}

}  // namespace

void Fibre::Enter(Fibre* self) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &self->outside_stack_, &self->outside_size_);
#endif
  self->body_(self->argument_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(nullptr, self->outside_stack_, self->outside_size_);
#endif
  polka_switch_stack(&self->inside_, self->outside_);
  abort();  // nobody resumes a fibre that has ended
}

void Fibre::Start(int slot, Body body, void* argument) {
  if (slot >= kStacks) {
    fprintf(stderr, "emulator: more than %d threads in a cluster\n", kStacks);
    abort();
  }
  body_ = body;
  argument_ = argument;
  stack_ = Stacks() + kStackBytes * static_cast<size_t>(slot);
  // What polka_switch_stack takes off: six registers, then the address to return to. Enter and its
  // argument come through r12 and rbx.
  extern void Trampoline() asm("polka_fibre_trampoline");
  uintptr_t* top = reinterpret_cast<uintptr_t*>(static_cast<char*>(stack_) + kStackBytes - 64);
  for (const uintptr_t word : {reinterpret_cast<uintptr_t>(&Trampoline), uintptr_t{0},  // rbp
                               reinterpret_cast<uintptr_t>(this),                       // rbx
                               reinterpret_cast<uintptr_t>(&Enter),                     // r12
                               uintptr_t{0}, uintptr_t{0}, uintptr_t{0}}) {
    *--top = word;
  }
  inside_ = top;
}

asm(R"(
.text
.type polka_fibre_trampoline, @function
polka_fibre_trampoline:
  movq %rbx, %rdi
  callq *%r12
.size polka_fibre_trampoline, .-polka_fibre_trampoline
)");

void Fibre::Resume() {
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stack_, kStackBytes);
  polka_switch_stack(&outside_, inside_);
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
  polka_switch_stack(&outside_, inside_);
#endif
}

void Fibre::GiveWay() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fake_inside_, outside_stack_, outside_size_);
  polka_switch_stack(&inside_, outside_);
  __sanitizer_finish_switch_fiber(fake_inside_, &outside_stack_, &outside_size_);
#else
  polka_switch_stack(&inside_, outside_);
#endif
}

}  // namespace polka::cuda::emulator
