#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/nn/modules/batchnorm.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "framework/layers/ops.hpp"
#include "kernels/batch_norm/batch_norm.hpp"

namespace millrace {
namespace {

std::size_t at_index(std::int64_t number) { return static_cast<std::size_t>(number); }

/// By channel, over some rows.
struct Statistics {
  double rows = 0;
  std::vector<double> mean, deviations;  ///< sum of squared deviations from the mean
};

/// Of both together, after Chan, Golub, LeVeque (1979).
void merge(Statistics& all, const Statistics& part) {
  if (part.rows == 0) return;
  if (all.rows == 0) {
    all = part;
    return;
  }
  const double rows = all.rows + part.rows;
  for (std::size_t c = 0; c < all.mean.size(); ++c) {
    const double apart = part.mean[c] - all.mean[c];
    all.mean[c] += apart * part.rows / rows;
    all.deviations[c] += part.deviations[c] + apart * apart * all.rows * part.rows / rows;
  }
  all.rows = rows;
}

std::vector<double> flat(const Statistics& own) {
  std::vector<double> values = {own.rows};
  values.insert(values.end(), own.mean.begin(), own.mean.end());
  values.insert(values.end(), own.deviations.begin(), own.deviations.end());
  return values;
}

Statistics from_flat(const std::vector<double>& values) {
  const auto middle = values.begin() + 1 + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  return {values.front(), {values.begin() + 1, middle}, {middle, values.end()}};
}

/// x [n, c, h, w] channels-last or [n, c]. In training the statistics are those of all replicas'
/// samples of the micro-batch, and the running ones follow them.
class BatchNormOp final : public SingleInputOp {
 public:
  template <typename Module>
  BatchNormOp(const OpRequest& request, const Module& norm)
      : SingleInputOp(OutputUse::free, Parameters(request.layer.name, *request.layer.module.ptr())),
        running_mean_(norm.running_mean),
        running_var_(norm.running_var),
        momentum_(*norm.options.momentum()),
        eps_(norm.options.eps()),
        relu_(request.fusion.relu_behind),
        most_(request.fusion.relu6_behind ? 6 : std::numeric_limits<float>::infinity()),
        replicas_(request.replicas) {}

  bool meets_replicas() const override { return replicas_ != nullptr; }

  void clear_gradients() override {
    SingleInputOp::clear_gradients();
    found_.clear();
  }

  void end_step() override {
    for (const Statistics& statistics : found_) follow(statistics);
    found_.clear();
  }

 protected:
  at::Tensor forward(const at::Tensor& x, const DrawKey& key, bool training, Saved* saved,
                     bool may_overwrite_input) override {
    const at::Tensor input = dense(x);
    const at::Tensor factors = training ? batch_factors(input, !key.again) : running_factors();
    if (!x.defined()) return {};
    at::Tensor y = may_overwrite_input && !saved ? input : at::empty_like(input);
    kernels::norm_cpu(shape_of(input), line(factors), input.data_ptr<float>(), y.data_ptr<float>());
    if (saved) *saved = {input, factors};
    return y;
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) override {
    Saved kept = std::move(saved);
    saved.clear();
    if (!dy.defined()) {
      total({});
      return {};
    }
    const at::Tensor x = std::move(kept[0]), factors = std::move(kept[1]);
    const at::Tensor gradient = dense(dy);
    const kernels::NormShape shape = shape_of(x);
    Sums own{static_cast<double>(shape.rows), std::vector<double>(channels()),
             std::vector<double>(channels())};
    kernels::norm_gradient_sums_cpu(shape, line(factors), row(factors, kMean), x.data_ptr<float>(),
                                    gradient.data_ptr<float>(), own.sum.data(), own.product.data());
    add_parameter_gradients(own, factors);
    const Sums all = total(own);
    return input_gradient ? make_input_gradient(x, gradient, factors, all) : at::Tensor();
  }

 private:
  /// Rows of a tensor [4, channels].
  enum Factor { kMean, kRoot, kScale, kShift, kFactors };
  /// What norm_gradient_sums finds.
  struct Sums {
    double rows = 0;
    std::vector<double> sum, product;
  };

  std::size_t channels() const { return at_index(running_mean_.numel()); }
  static float* row(const at::Tensor& factors, int which) {
    return factors.data_ptr<float>() + which * factors.size(1);
  }
  kernels::NormLine line(const at::Tensor& factors) const {
    return {row(factors, kScale), row(factors, kShift), relu_, most_};
  }
  static at::Tensor dense(const at::Tensor& x) {
    if (!x.defined()) return x;
    return x.dim() == 4 ? x.contiguous(at::MemoryFormat::ChannelsLast) : x.contiguous();
  }
  static kernels::NormShape shape_of(const at::Tensor& x) {
    return {x.numel() / x.size(1), x.size(1)};
  }

  at::Tensor batch_factors(const at::Tensor& x, bool first_pass) {
    Statistics own{0, std::vector<double>(channels()), std::vector<double>(channels())};
    if (x.defined()) {
      own.rows = static_cast<double>(shape_of(x).rows);
      kernels::norm_statistics_cpu(shape_of(x), x.data_ptr<float>(), own.mean.data(),
                                   own.deviations.data());
    }
    const Statistics all = merged(std::move(own));
    const bool keeps = replicas_ == nullptr || replicas_->keeps_records();
    if (first_pass && keeps && all.rows > 1) found_.push_back(all);  // one row has no variance
    std::vector<double> variance = all.deviations;
    for (double& value : variance) value /= all.rows;
    return factors_of(all.mean, variance);
  }

  /// Of all replicas.
  Statistics merged(Statistics own) {
    if (replicas_ == nullptr) return own;
    Statistics all;
    for (const std::vector<double>& part : replicas_->gather(flat(own)))
      merge(all, from_flat(part));
    return all;
  }

  at::Tensor running_factors() {
    const auto values = [](const at::Tensor& tensor) {
      const float* const data = tensor.data_ptr<float>();
      return std::vector<double>(data, data + tensor.numel());
    };
    return factors_of(values(running_mean_), values(running_var_));
  }

  at::Tensor factors_of(const std::vector<double>& mean, const std::vector<double>& variance) {
    const at::Tensor factors = at::empty({kFactors, running_mean_.numel()}, at::kFloat);
    const float* const gamma = parameters()[0].value.data_ptr<float>();
    const float* const beta = parameters()[1].value.data_ptr<float>();
    for (std::size_t c = 0; c < mean.size(); ++c) {
      const double root = 1 / std::sqrt(variance[c] + eps_), scale = gamma[c] * root;
      row(factors, kMean)[c] = static_cast<float>(mean[c]);
      row(factors, kRoot)[c] = static_cast<float>(root);
      row(factors, kScale)[c] = static_cast<float>(scale);
      row(factors, kShift)[c] = static_cast<float>(beta[c] - mean[c] * scale);
    }
    return factors;
  }

  /// As LibTorch: the running variance is the unbiased one.
  void follow(const Statistics& all) {
    float* const mean = running_mean_.data_ptr<float>();
    float* const variance = running_var_.data_ptr<float>();
    const auto move = [this](float& running, double value) {
      running = static_cast<float>((1 - momentum_) * running + momentum_ * value);
    };
    for (std::size_t c = 0; c < channels(); ++c) {
      move(mean[c], all.mean[c]);
      move(variance[c], all.deviations[c] / (all.rows - 1));
    }
  }

  /// Of all replicas.
  Sums total(const Sums& own) {
    if (replicas_ == nullptr) return own;
    std::vector<double> values = {own.rows};
    values.insert(values.end(), own.sum.begin(), own.sum.end());
    values.insert(values.end(), own.product.begin(), own.product.end());
    Sums all{0, std::vector<double>(channels()), std::vector<double>(channels())};
    for (const std::vector<double>& part : replicas_->gather(std::move(values))) {
      all.rows += part[0];
      for (std::size_t c = 0; part.size() > 1 && c < channels(); ++c) {
        all.sum[c] += part[1 + c];
        all.product[c] += part[1 + channels() + c];
      }
    }
    return all;
  }

  /// Those of the replica's own rows: the update adds up the replicas.
  void add_parameter_gradients(const Sums& own, const at::Tensor& factors) {
    auto [gamma, keep_gamma] = parameters_.target(0);
    auto [beta, keep_beta] = parameters_.target(1);
    const auto add = [](float& to, float keep, double value) {
      to = static_cast<float>((keep > 0 ? to : 0) + value);
    };
    for (std::size_t c = 0; c < channels(); ++c) {
      add(gamma.data_ptr<float>()[c], keep_gamma, row(factors, kRoot)[c] * own.product[c]);
      add(beta.data_ptr<float>()[c], keep_beta, own.sum[c]);
    }
  }

  /// Over x, where nobody else has it.
  at::Tensor make_input_gradient(const at::Tensor& x, const at::Tensor& dy,
                                 const at::Tensor& factors, const Sums& all) {
    const at::Tensor abc = at::empty({3, x.size(1)}, at::kFloat);
    for (std::size_t c = 0; c < channels(); ++c) {
      const double root = row(factors, kRoot)[c], a = row(factors, kScale)[c];
      row(abc, 0)[c] = static_cast<float>(a);
      row(abc, 1)[c] = static_cast<float>(-a * root * root * all.product[c] / all.rows);
      row(abc, 2)[c] = static_cast<float>(-a * all.sum[c] / all.rows);
    }
    const bool own = x.use_count() == 1 && x.storage().use_count() == 1;
    at::Tensor dx = own ? x : at::empty_like(x);
    kernels::norm_gradient_cpu(shape_of(x), line(factors),
                               {row(abc, 0), row(abc, 1), row(abc, 2), row(factors, kMean)},
                               x.data_ptr<float>(), dy.data_ptr<float>(), dx.data_ptr<float>());
    return dx;
  }

  at::Tensor running_mean_, running_var_;  ///< the model's
  std::vector<Statistics> found_;          ///< by micro-batch of the step
  double momentum_, eps_;
  bool relu_;
  float most_;
  Replicas* replicas_;
};

}  // namespace

std::unique_ptr<LayerOp> make_batch_norm_op(const OpRequest& request) {
  const torch::nn::Module& module = *request.layer.module.ptr();
  if (const auto* norm = module.as<torch::nn::BatchNorm2dImpl>())
    return std::make_unique<BatchNormOp>(request, *norm);
  if (const auto* norm = module.as<torch::nn::BatchNorm1dImpl>())
    return std::make_unique<BatchNormOp>(request, *norm);
  return nullptr;
}

}  // namespace millrace
