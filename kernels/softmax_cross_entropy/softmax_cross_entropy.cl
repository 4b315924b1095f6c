// One work-group per row; its size is a power of two. Contract: softmax_cross_entropy.hpp.
// labels[i] < 0 or >= k: the row's gradient is 0 and correct[i] is -1.

float group_max(__local float* scratch, float value) {
  const int me = get_local_id(0);
  scratch[me] = value;
  for (int reach = get_local_size(0) / 2; reach > 0; reach /= 2) {
    barrier(CLK_LOCAL_MEM_FENCE);
    if (me < reach) scratch[me] = fmax(scratch[me], scratch[me + reach]);
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  const float result = scratch[0];
  barrier(CLK_LOCAL_MEM_FENCE);
  return result;
}

float group_sum(__local float* scratch, float value) {
  const int me = get_local_id(0);
  scratch[me] = value;
  for (int reach = get_local_size(0) / 2; reach > 0; reach /= 2) {
    barrier(CLK_LOCAL_MEM_FENCE);
    if (me < reach) scratch[me] += scratch[me + reach];
  }
  barrier(CLK_LOCAL_MEM_FENCE);
  const float result = scratch[0];
  barrier(CLK_LOCAL_MEM_FENCE);
  return result;
}

__kernel void softmax_cross_entropy(__global const float* logits, __global const long* labels,
                                    const long k, const float scale, __global float* d_logits,
                                    __global float* row_loss, __global int* correct,
                                    __local float* scratch) {
  const long i = get_group_id(0);
  const long me = get_local_id(0);
  const long step = get_local_size(0);
  __global const float* row = logits + i * k;
  __global float* gradient = d_logits + i * k;
  const long label = labels[i];
  // No branch around the barriers: some compilers take only those that every work-item reaches.
  const bool good = label >= 0 && label < k;

  float maximum = -INFINITY;
  for (long j = me; j < k; j += step) maximum = fmax(maximum, row[j]);
  maximum = group_max(scratch, maximum);

  // Labels beaten by a larger logit, or by an equal one before them, are wrong.
  const float target = row[good ? label : 0];
  float sum = 0.0f;
  float beaten = 0.0f;
  for (long j = me; j < k; j += step) {
    sum += exp(row[j] - maximum);
    if (row[j] > target || (row[j] == target && j < label)) beaten = 1.0f;
  }
  sum = group_sum(scratch, sum);
  beaten = group_max(scratch, beaten);

  const float factor = good ? scale / sum : 0.0f;
  for (long j = me; j < k; j += step) {
    const float probability = exp(row[j] - maximum) * factor;
    gradient[j] = good ? probability - (j == label ? scale : 0.0f) : 0.0f;
  }
  if (me == 0) {
    const int right = beaten == 0.0f && !isnan(sum) ? 1 : 0;
    row_loss[i] = good ? log(sum) + (maximum - target) : 0.0f;
    correct[i] = good ? right : -1;
  }
}
