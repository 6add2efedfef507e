// What tch does not reach: freezing, the oneDNN Graph fuser, structured outputs, and errors as values.
//
// No exception crosses into Rust: each call runs inside `guarded`, which turns what was thrown into a status and a
// message. Tensors cross as `at::Tensor *`, which is what tch's `C_tensor` is.

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/codegen/onednn/interface.h>
#include <torch/csrc/jit/passes/pass_manager.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/passes/fixup_trace_scope_blocks.h>
#include <torch/csrc/jit/passes/normalize_ops.h>
#include <torch/csrc/jit/serialization/import.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/csrc/api/include/torch/version.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace {

enum Status : int { kOk = 0, kError = 1, kOutOfMemory = 2 };

struct Module {
  torch::jit::Module module;
};

struct Outputs {
  std::vector<std::pair<std::string, at::Tensor>> items;
};

// Adds up what libtorch's allocators hand to this thread, beside what was there before.
class Peak : public c10::MemoryReportingInfoBase {
public:
  void reportMemoryUsage(void *, int64_t size, size_t, size_t, c10::Device) override {
    now_ += size;
    peak_ = std::max(peak_, now_);
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t peak() const { return peak_; }

private:
  int64_t now_ = 0, peak_ = 0;
};

char *copy(const std::string &text) {
  char *out = static_cast<char *>(std::malloc(text.size() + 1));
  if (out) std::memcpy(out, text.c_str(), text.size() + 1);
  return out;
}

bool is_memory_message(const char *what) {
  return std::strstr(what, "out of memory") || std::strstr(what, "can't allocate memory") ||
         std::strstr(what, "CUDA_ERROR_OUT_OF_MEMORY");
}

template <typename F> int guarded(char **error, F &&body) {
  try {
    body();
    return kOk;
  } catch (const c10::OutOfMemoryError &e) {
    *error = copy(e.what_without_backtrace());
    return kOutOfMemory;
  } catch (const c10::Error &e) {
    *error = copy(e.what_without_backtrace());
    return is_memory_message(e.what_without_backtrace()) ? kOutOfMemory : kError;
  } catch (const std::bad_alloc &) {
    *error = copy("out of memory");
    return kOutOfMemory;
  } catch (const std::exception &e) {
    *error = copy(e.what());
    return is_memory_message(e.what()) ? kOutOfMemory : kError;
  } catch (...) {
    *error = copy("an unknown C++ exception");
    return kError;
  }
}

// The archive of a module; `data` is freed with gt_free.
void write(const torch::jit::Module &module, char **data, size_t *size) {
  std::ostringstream archive;
  module.save(archive);
  const std::string bytes = archive.str();
  *data = static_cast<char *>(std::malloc(bytes.size()));
  if (!*data) throw std::bad_alloc();
  std::memcpy(*data, bytes.data(), bytes.size());
  *size = bytes.size();
}

// Depth first; a dictionary's keys name its tensors, everything else is told apart by its place.
void flatten(const c10::IValue &value, const std::string &name, Outputs &out) {
  if (value.isTensor()) {
    out.items.emplace_back(name, value.toTensor());
  } else if (value.isTuple()) {
    for (const auto &element : value.toTupleRef().elements()) flatten(element, name, out);
  } else if (value.isTensorList()) {
    for (const at::Tensor &element : value.toTensorVector()) out.items.emplace_back(name, element);
  } else if (value.isList()) {
    for (const c10::IValue &element : value.toListRef()) flatten(element, name, out);
  } else if (value.isGenericDict()) {
    for (const auto &entry : value.toGenericDict()) {
      flatten(entry.value(), entry.key().isString() ? entry.key().toStringRef() : name, out);
    }
  }
  // Numbers, strings and None carry nothing that an element could use.
}

} // namespace

extern "C" {

void gt_free(char *text) { std::free(text); }

// A thread's first parallel loop takes over the number that any thread set last; asking for it here has that behind us.
void gt_set_threads(int threads) {
  try {
    (void)at::get_num_threads();
    at::set_num_threads(threads);
  } catch (...) {
  }
}

int gt_at_exit(void (*handler)()) { return std::atexit(handler); }

// cuDNN's fastest backward-data kernels, which transposed convolutions use, add up in the order of chance.
void gt_avoid_chance() {
  try {
    at::globalContext().setDeterministicCuDNN(true);
  } catch (...) {
  }
}

int gt_module_load(const char *path, const char *data, size_t size, const char *device, Module **out, char **error) {
  return guarded(error, [&] {
    const c10::Device target{std::string(device)};
    at::NoGradGuard no_grad;
    if (path) {
      *out = new Module{torch::jit::load(std::string(path), target)};
    } else {
      std::istringstream stream(std::string(data, size));
      *out = new Module{torch::jit::load(stream, target)};
    }
    (*out)->module.eval();
  });
}

// The archive of a module whose forward is an expression of its input, `x`, and of the module in a file, `model`.
int gt_module_call(const char *path, const char *expression, char **data, size_t *size, char **error) {
  return guarded(error, [&] {
    at::NoGradGuard no_grad;
    torch::jit::Module model = torch::jit::load(std::string(path), c10::Device(c10::kCPU));
    model.eval();
    torch::jit::Module caller("Caller");
    caller.register_module("model", model);
    caller.define(std::string("def forward(self, x):\n    model = self.model\n    return ") + expression + "\n");
    write(caller, data, size);
  });
}

void gt_module_free(Module *module) {
  try {
    delete module;
  } catch (...) {
  }
}

// Kinds are ScalarType values: -1 keeps what the file has.
int gt_module_cast(Module *module, int kind, int channels_last, char **error) {
  return guarded(error, [&] {
    at::NoGradGuard no_grad;
    if (kind >= 0) module->module.to(static_cast<at::ScalarType>(kind));
    if (channels_last) {
      for (at::Tensor parameter : module->module.parameters()) {
        if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
      }
    }
  });
}

int gt_module_freeze(Module *module, char **error) {
  return guarded(error, [&] {
    at::NoGradGuard no_grad;
    module->module = torch::jit::freeze(module->module);
  });
}

// Bytes of parameters and buffers.
int gt_module_bytes(Module *module, int64_t *bytes, char **error) {
  return guarded(error, [&] {
    int64_t sum = 0;
    for (const at::Tensor &t : module->module.parameters()) sum += static_cast<int64_t>(t.nbytes());
    for (const at::Tensor &t : module->module.buffers()) sum += static_cast<int64_t>(t.nbytes());
    *bytes = sum;
  });
}

// The arguments of `forward` after self, one type name a line ("Tensor", "List[Tensor]", ...); optional ones end in '?'.
int gt_module_signature(Module *module, char **text, char **error) {
  return guarded(error, [&] {
    const auto method = module->module.find_method("forward");
    if (!method) {
      std::string names;
      for (const auto &other : module->module.get_methods()) names += (names.empty() ? "" : ", ") + other.name();
      throw std::runtime_error("it has no method 'forward' (its methods: " + (names.empty() ? "none" : names) +
                               "; call = \"model.NAME(x)\" in a card runs another)");
    }
    std::string lines;
    const auto &arguments = method->function().getSchema().arguments();
    for (size_t i = 1; i < arguments.size(); ++i) {
      lines += arguments[i].type()->annotation_str();
      if (arguments[i].default_value()) lines += "?";
      lines += "\n";
    }
    *text = copy(lines);
  });
}

// `peak`, where it is not null, becomes the most bytes that the pass had allocated at one time.
int gt_module_forward(Module *module, at::Tensor *input, int as_list, Outputs **out, int64_t *peak, char **error) {
  return guarded(error, [&] {
    at::NoGradGuard no_grad;
    const auto meter = std::make_shared<Peak>();
    std::optional<c10::DebugInfoGuard> metered;
    if (peak) metered.emplace(c10::DebugInfoKind::PROFILER_STATE, meter);
    std::vector<c10::IValue> arguments;
    if (as_list) {
      c10::List<at::Tensor> list;
      for (const at::Tensor &item : input->unbind(0)) list.push_back(item);
      arguments.emplace_back(std::move(list));
    } else {
      arguments.emplace_back(*input);
    }
    auto result = std::make_unique<Outputs>();
    flatten(module->module.forward(std::move(arguments)), "", *result);
    *out = result.release();
    if (peak) *peak = meter->peak();
  });
}

size_t gt_outputs_len(const Outputs *outputs) { return outputs->items.size(); }
const char *gt_outputs_name(const Outputs *outputs, size_t i) { return outputs->items[i].first.c_str(); }
at::Tensor *gt_outputs_tensor(const Outputs *outputs, size_t i) { return new at::Tensor(outputs->items[i].second); }
void gt_outputs_free(Outputs *outputs) { delete outputs; }

// Tracing: between begin and end, what is computed from `input` in this thread is written down. tch's own tracer gives a
// network with several outputs several return values, which cannot be saved; here they are one tuple.
int gt_trace_begin(at::Tensor *input, Module **out, char **error) {
  return guarded(error, [&] {
    namespace jit = torch::jit;
    TORCH_CHECK(!jit::tracer::isTracing(), "tracing calls cannot be nested");
    auto module = std::make_unique<Module>(Module{jit::Module("Network")});
    auto state = std::make_shared<jit::tracer::TracingState>();
    state->graph->insertInput(0, "self")->setType(module->module._ivalue()->type());
    jit::Value *value = state->graph->addInput();
    value->setType(jit::TensorType::create(*input));
    state->setValue(*input, value);
    jit::tracer::setTracingState(state);
    *out = module.release();
  });
}

void gt_trace_abandon() { torch::jit::tracer::setTracingState(nullptr); }

// Writes the archive of what was traced; `data` is freed with gt_free.
int gt_trace_end(Module *module, at::Tensor **outputs, size_t count, char **data, size_t *size, char **error) {
  return guarded(error, [&] {
    namespace jit = torch::jit;
    auto state = jit::tracer::getTracingState();
    TORCH_CHECK(state, "nothing is being traced");
    std::vector<jit::Value *> values;
    for (size_t i = 0; i < count; ++i) values.push_back(state->getOutput(*outputs[i], i));
    auto &graph = state->graph;
    graph->registerOutput(count == 1 ? values[0] : graph->insertNode(graph->createTuple(values))->output());
    jit::FixupTraceScopeBlocks(graph, &module->module);
    jit::NormalizeOps(graph);
    jit::tracer::setTracingState(nullptr);
    const auto &type = module->module.type();
    auto unit = module->module._ivalue()->compilation_unit();
    type->addMethod(unit->create_function(c10::QualifiedName(*type->name(), "forward"), graph));
    write(module->module, data, size);
  });
}

// The fuser's graph pass, on for as long as the returned pass id lives: a graph is rewritten when it is first run after
// its profiling run, so the pass is registered around warm-up only and never touches other graphs of the process.
unsigned gt_fuser_begin() { return torch::jit::registerPrePass(torch::jit::fuser::onednn::fuseGraph); }
void gt_fuser_end(unsigned pass) { torch::jit::clearPrePass(pass); }

// Libtorch's version, "2.13.0".
const char *gt_version() { return TORCH_VERSION; }

} // extern "C"
