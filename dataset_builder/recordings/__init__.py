"""From clips to recordings and folds: broken and equal clips left out, recordings found and dealt, leaks looked for."""
