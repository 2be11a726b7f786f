// The coefficients of exp, and its range, shared by every path.
//
// exp(x) = 2^n * exp(r), n = round(x / ln 2), r = x - n ln 2 in two fused steps, |r| <= ln(2) / 2;
// exp(r) by its Taylor polynomial of degree 7 (truncation under 7e-9 relative, then rounding).

#ifndef MILLRACE_POLYNOMIALS_H
#define MILLRACE_POLYNOMIALS_H

#define MK_EXP_LOWEST -87.33f
#define MK_EXP_HIGHEST 88.37f
#define MK_EXP_LOG2E 0x1.715476p+0f
#define MK_EXP_ROUNDER 0x1.8p+23f // adding and taking it away rounds half to even
#define MK_EXP_LN2_HIGH 0x1.62e4p-1f
#define MK_EXP_LN2_LOW 0x1.7f7d1cp-20f
#define MK_EXP_C7 0x1.a01a02p-13f
#define MK_EXP_C6 0x1.6c16c2p-10f
#define MK_EXP_C5 0x1.111112p-7f
#define MK_EXP_C4 0x1.555556p-5f
#define MK_EXP_C3 0x1.555556p-3f
#define MK_EXP_C2 0.5f

#endif
