// The shipped model `chinchilla` for a table of one row per run and few model sizes, centred.
data {
  int<lower=1> rows;
  int<lower=1> languages;
  array[rows] int<lower=1, upper=languages> language;
  vector[rows] log_params;  // over the geometric mean of all runs
  vector[rows] log_tokens;  // over the geometric mean of the language's runs
  vector[rows] log_loss;
}
parameters {
  real level_location;
  real size_share_location;
  real irreducible_share_location;
  real alpha_location;
  real beta_location;
  real sigma_location;
  real<lower=0> level_scale;
  real<lower=0> size_share_scale;
  real<lower=0> irreducible_share_scale;
  real<lower=0> alpha_scale;
  real<lower=0> beta_scale;
  real<lower=0> sigma_scale;
  vector[languages] log_level;
  vector[languages] logit_size_share;
  vector[languages] logit_irreducible_share;
  vector[languages] log_alpha;
  vector[languages] log_beta;
  vector[languages] log_sigma;
}
transformed parameters {
  vector[languages] level = exp(log_level);
  vector[languages] A = level .* inv_logit(logit_size_share);
  vector[languages] E = (level - A) .* inv_logit(logit_irreducible_share);
  vector[languages] B = level - A - E;
  vector[languages] alpha = exp(log_alpha);
  vector[languages] beta = exp(log_beta);
  vector[languages] sigma = exp(log_sigma);
}
model {
  level_location ~ normal(1, 2);
  size_share_location ~ normal(-1.5, 1);
  irreducible_share_location ~ normal(1.2, 1);
  alpha_location ~ normal(log(0.35), 0.4);
  beta_location ~ normal(log(0.35), 0.4);
  sigma_location ~ normal(log(0.01), 1);
  level_scale ~ lognormal(log(0.6 * 1.0), 0.7);
  size_share_scale ~ lognormal(log(0.6 * 0.5), 0.7);
  irreducible_share_scale ~ lognormal(log(0.6 * 0.5), 0.7);
  alpha_scale ~ lognormal(log(0.6 * 0.25), 0.7);
  beta_scale ~ lognormal(log(0.6 * 0.25), 0.7);
  sigma_scale ~ lognormal(log(0.6 * 0.5), 0.7);
  log_level ~ normal(level_location, level_scale);
  logit_size_share ~ normal(size_share_location, size_share_scale);
  logit_irreducible_share ~ normal(irreducible_share_location, irreducible_share_scale);
  log_alpha ~ normal(alpha_location, alpha_scale);
  log_beta ~ normal(beta_location, beta_scale);
  log_sigma ~ normal(sigma_location, sigma_scale);
  vector[rows] expected = E[language] + A[language] .* exp(-alpha[language] .* log_params)
                          + B[language] .* exp(-beta[language] .* log_tokens);
  log_loss ~ student_t(4, log(expected), sigma[language]);
}
