// The formulas of native/math compiled for the device, so that they stay usable from CUDA. Nothing
// runs here. Include every .inl; instantiate every template for float.
#include <math.h>
#include <stdint.h>

#include "polka.h"

namespace polka::cuda {

#include "number.inl"
#include "softmax.inl"
#include "divergence.inl"
#include "group_advantage.inl"
#include "token_kl.inl"

// softmax.inl
template __host__ __device__ float GradientElement(float, float, float, float);

// divergence.inl
template __host__ __device__ float ForwardKlTerm(float, float, float, float, float);
template __host__ __device__ float ForwardKlGradient(float, float);
template __host__ __device__ float ReverseKlTerm(float, float, float, float, float);
template __host__ __device__ float ReverseKlGradient(float, float, float, float, float);
template __host__ __device__ MixtureRatio<float> LogRatioToMixture(float, float, float, float, float);
template __host__ __device__ float JsdTerm(float, float, MixtureRatio<float>, float, float, float);
template __host__ __device__ float JsdStudentTerm(float, MixtureRatio<float>, float);
template __host__ __device__ float JsdGradient(float, MixtureRatio<float>, float, float, float);

// group_advantage.inl
template __host__ __device__ GroupStatistics DescribeGroup(const float*, int64_t, bool);
template __host__ __device__ GroupStatistics DescribeGroup(const double*, int64_t, bool);

// token_kl.inl
template __host__ __device__ ExpRemainder<float> ExpLessTaylor(float);
template __host__ __device__ float Clamp(float, float);
template __host__ __device__ Differentiable<float> KlEstimate(int32_t, float, float, float);
template __host__ __device__ Differentiable<float> TokenKl(int32_t, int32_t, float, float, float, float, float);

}  // namespace polka::cuda
