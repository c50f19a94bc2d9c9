/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACTIVATION_CDF_H
#define ACTIVATION_CDF_H

/* The normal distribution function in 32 pieces, for results that are rounded to bfloat16. Included
 * after lanes that have kbv_lookup.
 *
 * The middles of the pieces are even steps from -5.6 to 3.5. A piece is a polynomial of degree 3 of
 * the distance from its middle in steps, -1/2 to 1/2, fitted to the least relative error: 1.7e-3
 * around -5.3, 4e-4 around -3.8, below 8e-6 from -1.6 on. The first piece is 0 and the last is 1:
 * 3e-8 and 4e-4 off where they meet their neighbours, and what everything beyond gets. */
enum { CDF_PIECES = 32 };

static const float cdf_pieces[4][CDF_PIECES] = {
    {0.0f,           5.5813936e-08f, 2.6777943e-07f, 1.1819347e-06f,
     4.8008620e-06f, 1.7951545e-05f, 6.1817634e-05f, 1.9613287e-04f,
     5.7365376e-04f, 1.5476998e-03f, 3.8546813e-03f, 8.8704566e-03f,
     1.8881154e-02f, 3.7222267e-02f, 6.8070081e-02f, 1.1569815e-01f,
     1.8320427e-01f, 2.7103902e-01f, 3.7595311e-01f, 4.9099244e-01f,
     6.0679134e-01f, 7.1379730e-01f, 8.0457029e-01f, 8.7525896e-01f,
     9.2579326e-01f, 9.5895708e-01f, 9.7893651e-01f, 9.8998592e-01f,
     9.9559550e-01f, 9.9820979e-01f, 9.9932822e-01f, 1.0f},
    {0.0f,           9.0316874e-08f, 4.1040277e-07f, 1.7111289e-06f,
     6.5460689e-06f, 2.2977265e-05f, 7.3999847e-05f, 2.1866187e-04f,
     5.9281663e-04f, 1.4745802e-03f, 3.3652172e-03f, 7.0461318e-03f,
     1.3535616e-02f, 2.3855677e-02f, 3.8573577e-02f, 5.7222877e-02f,
     7.7880632e-02f, 9.7245119e-02f, 1.1139961e-01f, 1.1707836e-01f,
     1.1288740e-01f, 9.9859843e-02f, 8.1042451e-02f, 6.0340725e-02f,
     4.1217783e-02f, 2.5830509e-02f, 1.4851128e-02f, 7.8335476e-03f,
     3.7907960e-03f, 1.6829602e-03f, 6.8546814e-04f, 0.0f},
    {0.0f,
     7.3070827e-08f,
     3.1241779e-07f,
     1.2215279e-06f,
     4.3657576e-06f,
     1.4255337e-05f,
     4.2498995e-05f,
     1.1558916e-04f,
     2.8652050e-04f,
     6.4644525e-04f,
     1.3252700e-03f,
     2.4630384e-03f,
     4.1364657e-03f,
     6.2478348e-03f,
     8.4259046e-03f,
     1.0023564e-02f,
     1.0284623e-02f,
     8.6613164e-03f,
     5.1422329e-03f,
     3.8611310e-04f,
     -4.4661479e-03f,
     -8.2342934e-03f,
     -1.0165183e-02f,
     -1.0168520e-02f,
     -8.7283916e-03f,
     -6.5920239e-03f,
     -4.4387368e-03f,
     -2.6856607e-03f,
     -1.4675014e-03f,
     -7.2665167e-04f,
     -3.2685122e-04f,
     0.0f},
    {0.0f,
     3.3871007e-08f,
     1.3730869e-07f,
     5.0664115e-07f,
     1.6995882e-06f,
     5.1762459e-06f,
     1.4286806e-05f,
     3.5652592e-05f,
     8.0191062e-05f,
     1.6186639e-04f,
     2.9137088e-04f,
     4.6319352e-04f,
     6.3969419e-04f,
     7.4371180e-04f,
     6.7496125e-04f,
     3.5752318e-04f,
     -1.9966083e-04f,
     -8.6811369e-04f,
     -1.4298323e-03f,
     -1.6725121e-03f,
     -1.4977064e-03f,
     -9.7714461e-04f,
     -3.1067100e-04f,
     2.7717434e-04f,
     6.3908626e-04f,
     7.4736670e-04f,
     6.6604182e-04f,
     4.9607621e-04f,
     3.1989289e-04f,
     1.8186752e-04f,
     9.2127639e-05f,
     0.0f},
};

KB_INLINE kb_v normal_cdf_short(kb_v x) {
    /* 1.5 * 2^23: the lowest bits of a sum with it are the nearest whole number. */
    const kb_v round = kbv_set(12582912.0f);
    kb_v bounded = kbv_min(kbv_set(3.5f), kbv_max(kbv_set(-5.6f), x)); /* a NaN stays one */
    kb_v step = kbv_fma(bounded, kbv_set(31.0f / 9.1f), kbv_set(5.6f * 31.0f / 9.1f));
    kb_v place = step + round;
    kb_v t = step - (place - round);
    kb_v p = kbv_lookup(cdf_pieces[3], place);
    for (int i = 2; i >= 0; i--) p = kbv_fma(p, t, kbv_lookup(cdf_pieces[i], place));
    return p;
}

#endif
